//! Other people's networks, behind the traits that `service` defines; `server` puts the two together: mail, and of AWS roles by STS,
//! objects in S3 for audit logs, and customers' keys in KMS.

mod audit_bucket;
mod aws;
mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod http_client;
mod kms;
mod smtp;
mod xml;

pub use audit_bucket::AwsAuditBucket;
pub use endpoint::{AwsEndpoints, Endpoint};
pub use kms::AwsKms;
pub use smtp::{Smtp, SmtpSettings, SmtpTls};
