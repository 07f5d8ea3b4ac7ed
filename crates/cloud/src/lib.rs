//! Other people's networks, behind the traits that `service` defines; `server` puts the two together. So far mail, and of AWS roles by
//! STS and objects in S3, for audit logs; key management services to come.

mod audit_bucket;
mod aws;
mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod http_client;
mod smtp;
mod xml;

pub use audit_bucket::AwsAuditBucket;
pub use endpoint::{AwsEndpoints, Endpoint};
pub use smtp::{Smtp, SmtpSettings, SmtpTls};
