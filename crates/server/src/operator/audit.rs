//! Commands on the audit log and its delivery.

use std::sync::Arc;

use pinyon_model::{Error, OrganizationId, Result};
use pinyon_service::{AuditFrom, AuditMark, AuditPage, OpContext, Service};
use pinyon_wire::{admin, audit_event};
use serde_json::Value;

use super::Output;

/// Entries of one answer.
const PAGE: usize = 1_000;

pub(super) async fn page(service: &Service, ctx: &OpContext, after: Option<String>, last: Option<u64>) -> Result<Output> {
    let from = match (after, last) {
        (Some(mark), _) => AuditFrom::After(parse_mark(&mark)?),
        (None, Some(count)) => AuditFrom::Last(count),
        (None, None) => AuditFrom::Oldest,
    };
    let AuditPage { events, next, more } = service.audit_page(ctx, from, PAGE).await?;
    let events = events.iter().map(|event| String::from_utf8_lossy(&audit_event(event)).into_owned()).collect();
    Ok(Output::AuditEvents { events, next: print_mark(next), more })
}

pub(super) async fn describe_sink(service: &Service, ctx: &OpContext, id: OrganizationId) -> Result<Output> {
    let (sink, state) = service.describe_audit_sink(ctx, id).await?;
    Ok(Output::AuditSink { sink: read(&admin::audit_sink_model(&sink, &state))? })
}

pub(super) async fn put_sink(service: &Arc<Service>, ctx: &OpContext, id: OrganizationId, settings: &Value) -> Result<Output> {
    let settings = admin::put_audit_sink(settings.to_string().as_bytes())?;
    let (sink, state) = service.put_audit_sink(ctx, id, settings).await?;
    Ok(Output::AuditSink { sink: read(&admin::audit_sink_model(&sink, &state))? })
}

pub(super) async fn enable_sink(service: &Arc<Service>, ctx: &OpContext, id: OrganizationId, enabled: bool) -> Result<Output> {
    let mut settings = service.describe_audit_sink(ctx, id).await?.0.settings;
    settings.enabled = enabled;
    let (sink, state) = service.put_audit_sink(ctx, id, settings).await?;
    Ok(Output::AuditSink { sink: read(&admin::audit_sink_model(&sink, &state))? })
}

pub(super) async fn delete_sink(service: &Arc<Service>, ctx: &OpContext, id: OrganizationId) -> Result<Output> {
    let state = service.delete_audit_sink(ctx, id).await?;
    Ok(Output::AuditSink { sink: read(&admin::removed_audit_sink(&state))? })
}

fn read(printed: &[u8]) -> Result<Value> {
    serde_json::from_slice(printed).map_err(|e| Error::internal(format!("What was printed cannot be read: {e}")))
}

/// `NUMBER:HASH`.
fn print_mark(mark: AuditMark) -> String {
    let hash: String = mark.hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}:{hash}", mark.sequence)
}

fn parse_mark(text: &str) -> Result<AuditMark> {
    let bad = || Error::invalid("Not a place in the audit log");
    let (sequence, hex) = text.split_once(':').ok_or_else(bad)?;
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(bad)?;
    }
    Ok(AuditMark { sequence: sequence.parse().map_err(|_| bad())?, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back() {
        let mark = AuditMark { sequence: 42, hash: std::array::from_fn(|i| i as u8 * 7) };
        assert_eq!(parse_mark(&print_mark(mark)), Ok(mark));
        for bad in ["", "1", "1:", "x:00", &format!("1:{}", "g".repeat(64)), &format!("1:{}", "é".repeat(32)), &print_mark(mark)[..60]] {
            assert!(parse_mark(bad).is_err(), "{bad}");
        }
    }
}
