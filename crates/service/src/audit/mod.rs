//! The audit log: who did what, in a chain that shows every change.

mod event;

pub use event::{AuditActor, AuditEvent, AuditOutcome};
