//! The product: who may do what. Control plane, data plane, admin plane and operator calls as plain async Rust, with every permission asked
//! and every act audited in one place ([`Service`]'s `authorize`).
//!
//! Nothing here knows HTTP, JSON or an API date. Errors are `pinyon_model::Error`.

mod action;
mod api_key;
mod audit;
mod audit_delivery;
mod audit_sink;
mod authenticate;
mod authorize;
mod catalog;
mod check;
mod clock;
mod codec;
mod context;
mod data;
mod descriptor;
mod index;
mod invite;
mod limits;
mod login;
mod mail;
mod meter;
mod operator;
mod options;
mod organization;
mod password;
mod payment;
mod permissions;
mod project;
mod rates;
mod rebuild;
mod restrictions;
mod role_binding;
mod secret;
mod service;
mod service_account;
mod store;
mod throttle;
mod token;
mod user;

pub use api_key::{CreatedApiKey, LastUse, NewApiKey, UsedApiKey};
pub use audit::AuditReport;
pub use audit_delivery::{AuditBucket, AuditDelivery};
pub use audit_sink::AUDIT_ACCESS_TEST;
pub use check::{CheckReport, CheckedRecall, DamagedFile};
pub use clock::{ManualClock, SystemClock, system_time};
pub use context::OpContext;
pub use index::IndexRef;
pub use invite::{Acceptance, CreatedInvite};
pub use limits::{LimitPreset, Limits};
pub use login::SignIn;
pub use mail::{InviteMail, Mail, Mailer};
pub use operator::{AuditFrom, AuditMark, AuditPage};
pub use options::{AuthMode, DataPlaneAudit, PortCheck, ServiceOptions};
pub use password::Password;
pub use permissions::{Decision, EffectivePermissions, PermissionQuestion};
pub use pinyon_engine::{Clock, EngineSettings, FetchAnswer, FetchPage, IndexStats, ListAnswer, QueryAnswer, UpdateAck, WriteAck};
pub use pinyon_storage::RootKey;
pub use rates::{RateLimit, Rates};
pub use rebuild::RebuildReport;
pub use secret::{ApiKeySecret, ClientSecret, InviteToken};
pub use service::Service;
pub use service_account::CreatedServiceAccount;
pub use token::{AccessToken, IssuedToken};
