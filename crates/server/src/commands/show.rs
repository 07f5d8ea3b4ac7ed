//! What a command answered, for people: tables and sentences, a secret on a line of its own; or for programs: one JSON object.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::operator::{CheckRows, Output, Secret};

/// Prints it, and says what the process should end with.
pub(super) fn show(output: Output, json: bool) -> std::io::Result<ExitCode> {
    let code = match &output {
        Output::Checked { report } if !report.damaged.is_empty() => ExitCode::from(2),
        Output::DeletionReportVerified { genuine: false } => ExitCode::from(2),
        Output::AuditVerified { damaged, .. } if !damaged.is_empty() => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    };
    if json {
        let mut line = Zeroizing::new(serde_json::to_string(&output)?);
        line.push('\n');
        say(&line)?;
        return Ok(code);
    }
    match output {
        Output::KeyCreated { key, value } => {
            let roles = key.roles.join(", ");
            eprintln!("Key '{}' ({}) of project '{}' may act as {roles}. It is shown this once:", key.name, key.id, key.project);
            say_secret(&value)?;
        }
        Output::Keys { keys } => {
            let rows = keys.into_iter().map(|k| {
                let held_to = k.held_to();
                let day = |at: Option<String>| at.unwrap_or_else(|| "never".to_owned());
                [k.id, k.name, k.project, k.roles.join(","), format!("{}…", k.hint), held_to, day(k.expires_at), day(k.last_used_at)]
            });
            say(&table(["ID", "NAME", "PROJECT", "ROLES", "BEGINS WITH", "ONLY FOR", "EXPIRES", "LAST USED"], rows))?;
        }
        Output::KeyUpdated { key } => {
            let roles = key.roles.join(", ");
            say(&format!("Key '{}' ({}) of project '{}' may act as {roles}\n", key.name, key.id, key.project))?;
        }
        Output::KeyRevoked { id } => say(&format!("Key {id} is revoked\n"))?,
        Output::RootRotated { place } => {
            say(&format!("The root key in {place} is new; copies of the old one open nothing written from now on\n"))?
        }
        Output::Root { value } => say_secret(&value)?,
        Output::Organizations { organizations } => {
            let rows = organizations.into_iter().map(|o| [o.id, o.name, o.plan, o.payment_status, o.created_at]);
            say(&table(["ID", "NAME", "PLAN", "PAYMENT", "CREATED"], rows))?;
        }
        Output::OrganizationChanged { organization: o } => {
            say(&format!(
                "Organization '{}' ({}) is on the plan {}, with the payment status {}\n",
                o.name, o.id, o.plan, o.payment_status
            ))?;
        }
        Output::ProjectCreated { project } => say(&format!("Project '{}' has the id {}\n", project.name, project.id))?,
        Output::ProjectChanged { project } => say(&format!("Project {} is called '{}' now\n", project.id, project.name))?,
        Output::Projects { projects } => say(&table(["ID", "NAME"], projects.into_iter().map(|p| [p.id, p.name])))?,
        Output::ProjectDeleted { id } => say(&format!("Project {id} is deleted\n"))?,
        Output::PrivateEndpoints { private_endpoints } => {
            let rows = private_endpoints.into_iter().map(|e| [e.endpoint_id, e.provider, e.region, e.created_at]);
            say(&table(["ID", "CLOUD", "REGION", "CREATED"], rows))?;
        }
        Output::PrivateEndpointCreated { private_endpoint: e } => {
            say(&format!("Private endpoint {} reaches the indexes of {} {}\n", e.endpoint_id, e.provider, e.region))?
        }
        Output::PrivateEndpointDeleted { endpoint_id } => say(&format!("Private endpoint {endpoint_id} is deleted\n"))?,
        Output::ProjectAccess { access } => say_fields(&serde_json::to_value(&access)?)?,
        Output::ServiceAccountSecret { service_account: account, client_secret } => {
            let (name, id, client_id) = (account.name, account.id, account.client_id);
            eprintln!("Service account '{name}' ({id}) has the client id {client_id}. Its client secret is shown this once:");
            say_secret(&client_secret)?;
        }
        Output::ServiceAccounts { service_accounts } => {
            let rows = service_accounts.into_iter().map(|a| [a.id, a.name, a.client_id, a.created_at]);
            say(&table(["ID", "NAME", "CLIENT ID", "CREATED"], rows))?;
        }
        Output::ServiceAccountDeleted { id } => say(&format!("Service account {id} is deleted\n"))?,
        Output::RoleGranted { role } => {
            let place = role.project.map_or("the organization".to_owned(), |name| format!("project '{name}'"));
            say(&format!("{}:{} is {} in {place}, by role binding {}\n", role.principal_type, role.principal_id, role.role, role.id))?;
        }
        Output::Roles { roles } => {
            let place = |project: Option<String>, kind: String| project.unwrap_or(kind);
            let rows = roles.into_iter().map(|r| {
                let principal = format!("{}:{}", r.principal_type, r.principal_id);
                [r.id, r.role, principal, place(r.project, r.resource_type)]
            });
            say(&table(["ID", "ROLE", "PRINCIPAL", "IN"], rows))?;
        }
        Output::Permissions { permissions: found } => {
            if let (Some(allowed), Some(reason)) = (found.allowed, &found.reason) {
                say(&format!("{}: {reason}\n", if allowed { "allowed" } else { "not allowed" }))?;
            }
            say(&format!("{} ({}) in {}\n", found.principal, found.name, found.resource))?;
            let by =
                |roles: Vec<(String, String)>| roles.into_iter().map(|(role, id)| format!("{role} {id}")).collect::<Vec<_>>().join(", ");
            let rows = found.permissions.into_iter().map(|(permission, roles)| [permission, by(roles)]);
            say(&table(["PERMISSION", "GIVEN BY"], rows))?;
        }
        Output::RoleRevoked { id } => say(&format!("Role binding {id} is gone\n"))?,
        Output::Users { users } => {
            let rows = users.into_iter().map(|u| [u.id, u.email, u.name.unwrap_or_default(), u.created_at]);
            say(&table(["ID", "E-MAIL", "NAME", "CREATED"], rows))?;
        }
        Output::UserInvited { invite, token: Some(token) } => {
            let (email, until) = (invite.email, invite.expires_at);
            eprintln!("{email} may come in until {until}, by POST /pinyon/v1/invites/accept with this token, shown this once:");
            say_secret(&token)?;
        }
        Output::UserInvited { invite, token: None } => {
            say(&format!("{} has mail, and may come in until {}\n", invite.email, invite.expires_at))?
        }
        Output::PasswordSet { user } => say(&format!("{} has a new password, and no session any more\n", user.email))?,
        Output::UserDeleted { id } => say(&format!("User {id} is gone, with every role\n"))?,
        Output::OrganizationDeleted { id } => say(&format!("Organization {id} is deleted\n"))?,
        Output::Deleted { deleted, waiting } => {
            let rows = deleted.into_iter().map(|d| [d.id, d.kind, d.name, d.deleted_at, d.deleted_by, d.kept_until]);
            say(&table(["ID", "KIND", "NAME", "DELETED", "BY", "KEPT UNTIL"], rows))?;
            if waiting {
                say("What is due is so much that it waits: pinyon deleted purge --confirm\n")?;
            }
        }
        Output::DeletedRestored { restored: d } => say(&format!("The {} '{}' is back\n", d.kind, d.name))?,
        Output::DeletedPurged { purged, waiting } => {
            for d in &purged {
                say(&format!("purged   {} '{}', report {}\n", d.kind, d.name, d.id))?;
            }
            if let Some((due, stored)) = waiting {
                say(&format!("{due} of {stored} stored bytes are due, which is much: --confirm purges them\n"))?;
            }
            say(&format!("{} purged\n", purged.len()))?;
        }
        Output::DeletionReport { document } => say(&document)?,
        Output::DeletionReports { reports } => {
            let rows = reports.into_iter().map(|r| [r.deleted.id, r.deleted.kind, r.deleted.name, r.purged_at, r.bytes.to_string()]);
            say(&table(["ID", "KIND", "NAME", "PURGED", "BYTES"], rows))?;
        }
        Output::DeletionReportVerified { genuine } => {
            say(if genuine { "This installation signed it\n" } else { "This installation did not sign it, or it was changed\n" })?
        }
        Output::DeletionReportKey { public_key } => say(&format!("{public_key}\n"))?,
        Output::Backup { backup } => say_fields(&serde_json::to_value(&backup)?)?,
        Output::Backups { backups } => {
            let number = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
            let rows = backups.into_iter().map(|b| {
                [
                    b.id,
                    b.name.unwrap_or_default(),
                    b.index,
                    b.status,
                    number(b.namespaces),
                    number(b.records),
                    number(b.bytes),
                    b.created_at,
                ]
            });
            say(&table(["ID", "NAME", "INDEX", "STATUS", "NAMESPACES", "RECORDS", "BYTES", "CREATED"], rows))?;
        }
        Output::BackupDeleted { id } => say(&format!("Backup {id} is deleted\n"))?,
        Output::Restored { index, index_id, .. } => say(&format!("Index '{index}' ({index_id}) holds the backup, and serves\n"))?,
        Output::BackupVerified { id, namespaces, records, bytes, .. } => say(&format!(
            "Backup {id} is whole: {namespaces} namespaces, {records} records, {bytes} bytes, restored and read to the end\n"
        ))?,
        Output::BackupExported { file, bytes, key } => {
            eprintln!("{} has {bytes} bytes, which open by this export key, shown this once:", file.display());
            say_secret(&key)?;
        }
        Output::AuditEvents { events, .. } => say(&audit_lines(&events, true))?,
        Output::Cmek { cmek } => say_fields(&cmek)?,
        Output::Cmeks { cmeks } => {
            let text = |c: &Value, of: &str| c.pointer(of).and_then(Value::as_str).unwrap_or_default().to_owned();
            let count = |c: &Value, of: &str| c[of].as_u64().unwrap_or_default().to_string();
            let rows = cmeks.iter().map(|c| {
                [text(c, "/id"), text(c, "/name"), text(c, "/state/status"), text(c, "/key_arn"), count(c, "indexes"), count(c, "backups")]
            });
            say(&table(["ID", "NAME", "STATE", "KEY", "INDEXES", "BACKUPS"], rows))?;
        }
        Output::CmekDeleted { id } => say(&format!("Customer-managed key {id} is deleted\n"))?,
        Output::AuditSink { sink } => say_fields(&sink)?,
        Output::AuditVerified { entries, dropped, damaged } => {
            if dropped > 0 {
                say(&format!("{dropped} older entries were dropped when their time was over\n"))?;
            }
            for (file, what) in &damaged {
                say(&format!("damaged  {file}: {what}\n"))?;
            }
            let verdict = if damaged.is_empty() { "each follows the one before it" } else { "the log is not what was written" };
            say(&format!("{entries} entries: {verdict}\n"))?;
        }
        Output::Checked { report } => say_report(&report)?,
    }
    Ok(code)
}

/// Entries of the audit log, for people.
pub(super) fn audit_lines(events: &[String], heading: bool) -> String {
    let rows = events.iter().map(|line| audit_row(&serde_json::from_str(line).unwrap_or_default()));
    if heading {
        return table(["TIME", "WHO", "ACTION", "WHAT", "RESULT"], rows);
    }
    rows.fold(String::new(), |out, row| out + row.join("  ").trim_end() + "\n")
}

/// An object's fields, a line each.
fn say_fields(object: &Value) -> std::io::Result<()> {
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => say_fields(value)?,
            Value::String(text) => say(&format!("{name}: {text}\n"))?,
            Value::Null => {}
            other => say(&format!("{name}: {other}\n"))?,
        }
    }
    Ok(())
}

/// An entry of the audit log for people.
fn audit_row(event: &Value) -> [String; 5] {
    let text = |of: &str| event.pointer(of).and_then(Value::as_str).unwrap_or_default().to_owned();
    let who = [text("/actor/principal_type"), text("/actor/principal_name")].join(" ");
    let what = [text("/event/resource_type"), text("/event/resource_id")].join(" ");
    let result = [text("/event/outcome/result"), text("/event/outcome/error_code")].join(" ");
    [text("/event/time"), who.trim().to_owned(), text("/event/action"), what.trim().to_owned(), result.trim().to_owned()]
}

fn say_report(report: &CheckRows) -> std::io::Result<()> {
    for (file, what) in &report.damaged {
        say(&format!("damaged  {file}: {what}\n"))?;
    }
    if report.locked > 0 {
        say(&format!("locked   {} indexes and backups: the customer's key above theirs is not available\n", report.locked))?;
    }
    for r in &report.recall {
        let by = if r.live { "live queries" } else { "probes made of stored vectors" };
        say(&format!("recall   index {}: {:.3} over {} {by}, at worst {:.3}\n", r.index, r.mean, r.samples, r.worst))?;
    }
    say(&format!(
        "{} files, {} bytes, {} indexes, {} namespaces, {} backups, {} records, {} audit events: {}\n",
        report.files,
        report.bytes,
        report.indexes,
        report.namespaces,
        report.backups,
        report.records,
        report.audit_events,
        if report.damaged.is_empty() { "all is well".to_owned() } else { format!("{} damaged", report.damaged.len()) }
    ))
}

/// Rows under a heading, in columns as wide as they need to be.
fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0));
    rows.iter().fold(String::new(), |mut out, row| {
        let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
        out
    })
}

fn say_secret(secret: &Secret) -> std::io::Result<()> {
    let mut line = Zeroizing::new(secret.reveal().to_owned());
    line.push('\n');
    say(&line)
}

/// Prints what a program may read.
pub(super) fn say(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}
