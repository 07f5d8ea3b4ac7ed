//! What the service writes into an event, and how an event is stored.

use pinyon_model::{AuditActor, AuditEvent, AuditOutcome, Error, Principal, Result};

use crate::{
    OpContext,
    codec::{Reader, Writer},
};

/// Nobody known.
pub(crate) fn unknown_actor() -> AuditActor {
    AuditActor { principal_type: "unknown".to_owned(), ..AuditActor::default() }
}

/// A principal as the log names it.
pub(crate) fn actor(principal: &Principal) -> AuditActor {
    let (principal_id, principal_name, principal_type) = match principal {
        Principal::ApiKey { id, name, .. } => (id.to_string(), name.clone(), "api_key"),
        Principal::ServiceAccount { id, name, .. } => (id.to_string(), name.clone(), "service_account"),
        Principal::User { id, email, .. } => (id.to_string(), email.clone(), "user"),
        Principal::Operator => (String::new(), "operator".to_owned(), "operator"),
        Principal::System => (String::new(), "pinyon".to_owned(), "system"),
    };
    AuditActor { principal_id, principal_name, principal_type: principal_type.to_owned() }
}

/// A failure with this error.
pub(crate) fn failure(error: &Error) -> AuditOutcome {
    AuditOutcome::Failure { reason: error.message.clone(), error_code: format!("{:?}", error.code) }
}

/// An event of this caller, not yet closed: its outcome says that nobody closed it.
pub(crate) fn open(ctx: &OpContext, id: [u8; 16], action: &str, resource_type: &str) -> AuditEvent {
    AuditEvent {
        id,
        organization_id: String::new(),
        organization_name: String::new(),
        user_agent: ctx.user_agent.to_string(),
        source: ctx.source.to_string(),
        request_id: ctx.request_id.to_string(),
        actor: actor(&ctx.principal),
        time_ms: ctx.now_ms,
        action: action.to_owned(),
        resource_type: resource_type.to_owned(),
        resource_id: String::new(),
        resource_name: String::new(),
        outcome: AuditOutcome::Failure {
            reason: "The operation was abandoned before its end".to_owned(),
            error_code: "Aborted".to_owned(),
        },
        count: 1,
        parameters: Vec::new(),
        catalog_generation: None,
    }
}

/// Appends what is stored of an event.
pub(crate) fn write(event: &AuditEvent, w: &mut Writer) {
    w.raw(&event.id);
    for text in [&event.organization_id, &event.organization_name, &event.user_agent, &event.source, &event.request_id] {
        w.text(text);
    }
    w.text(&event.actor.principal_id).text(&event.actor.principal_name).text(&event.actor.principal_type);
    w.u64(event.time_ms);
    for text in [&event.action, &event.resource_type, &event.resource_id, &event.resource_name] {
        w.text(text);
    }
    match &event.outcome {
        AuditOutcome::Success => w.u8(0),
        AuditOutcome::Failure { reason, error_code } => w.u8(1).text(reason).text(error_code),
    };
    w.u64(event.count).u32(u32::try_from(event.parameters.len()).unwrap_or(u32::MAX));
    for (key, value) in &event.parameters {
        w.text(key).text(value);
    }
    w.option(event.catalog_generation, |w, g| {
        w.u64(g);
    });
}

/// Reads what was stored of an event.
pub(crate) fn read(r: &mut Reader<'_>) -> Result<AuditEvent> {
    Ok(AuditEvent {
        id: r.array()?,
        organization_id: r.text()?,
        organization_name: r.text()?,
        user_agent: r.text()?,
        source: r.text()?,
        request_id: r.text()?,
        actor: AuditActor { principal_id: r.text()?, principal_name: r.text()?, principal_type: r.text()? },
        time_ms: r.u64()?,
        action: r.text()?,
        resource_type: r.text()?,
        resource_id: r.text()?,
        resource_name: r.text()?,
        outcome: match r.u8()? {
            0 => AuditOutcome::Success,
            1 => AuditOutcome::Failure { reason: r.text()?, error_code: r.text()? },
            _ => return Err(r.malformed()),
        },
        count: r.u64()?,
        parameters: r.list(|r| Ok((r.text()?, r.text()?)))?,
        catalog_generation: r.option(Reader::u64)?,
    })
}
