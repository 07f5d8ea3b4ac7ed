//! `pinyon audit`: entries page by page, and sinks.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::{
    Failure,
    operate::{Place, ask},
    show::{audit_lines, say},
};
use crate::{
    config::{AuditSinkCommand, OperateArgs},
    operator::{Command, Order, Output},
};

/// How often it is looked for new entries.
const FOLLOW: Duration = Duration::from_secs(1);

/// Prints entries: the last so many or all, and with `follow` those to come, as long as a server runs.
pub(super) async fn entries(place: Place, last: Option<u64>, follow: bool, json: bool) -> Result<ExitCode, Failure> {
    let (mut after, mut heading) = (None, true);
    loop {
        let command = Command::AuditEvents { last: after.is_none().then_some(last).flatten(), after: after.clone() };
        let order = Order { organization: None, command };
        let Output::AuditEvents { events, next, more } = ask(&place, order).await? else {
            return Err(Failure::new("the server answered something else"));
        };
        if json {
            events.iter().try_for_each(|event| say(&format!("{event}\n")))?;
        } else if heading || !events.is_empty() {
            say(&audit_lines(&events, heading))?;
            heading = false;
        }
        after = Some(next);
        match (more, follow) {
            (true, _) => {}
            (false, true) => tokio::time::sleep(FOLLOW).await,
            (false, false) => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// What a command on a sink asks for.
pub(super) fn sink(command: AuditSinkCommand) -> (Command, OperateArgs) {
    match command {
        AuditSinkCommand::Show { operate } => (Command::DescribeAuditSink, operate),
        AuditSinkCommand::Enable { operate } => (Command::EnableAuditSink { enabled: true }, operate),
        AuditSinkCommand::Disable { operate } => (Command::EnableAuditSink { enabled: false }, operate),
        AuditSinkCommand::Remove { operate } => (Command::DeleteAuditSink, operate),
        AuditSinkCommand::Set { role_arn, external_id, bucket, region, interval, operate } => {
            let settings = json!({
                "role_arn": role_arn, "external_id": external_id, "bucket": bucket, "region": region, "interval_seconds": interval,
            });
            (Command::PutAuditSink { settings }, operate)
        }
    }
}
