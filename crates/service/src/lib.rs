//! The product: who may do what. Control plane, data plane and operator calls as plain async Rust, with every permission asked
//! and every act audited in one place ([`Service`]'s `authorize`).
//!
//! Nothing here knows HTTP, JSON or an API date. Errors are `pinyon_model::Error`.

mod api_key;
mod audit;
mod authorize;
mod catalog;
mod check;
mod clock;
mod codec;
mod context;
mod data;
mod descriptor;
mod index;
mod limits;
mod operator;
mod options;
mod project;
mod rebuild;
mod service;
mod store;

pub use api_key::{ApiKeyInfo, ApiKeySecret, CreatedApiKey, NewApiKey};
pub use audit::{AuditActor, AuditEvent, AuditOutcome};
pub use check::{CheckReport, CheckedRecall, DamagedFile};
pub use clock::{ManualClock, SystemClock};
pub use context::OpContext;
pub use index::IndexRef;
pub use limits::Limits;
pub use options::{AuthMode, DataPlaneAudit, PortCheck, ServiceOptions};
pub use pinyon_engine::{Clock, EngineSettings, FetchAnswer, FetchPage, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck};
pub use pinyon_storage::RootKey;
pub use project::{Organization, Project, short_id};
pub use rebuild::RebuildReport;
pub use service::Service;
