//! Other people's networks: mail so far; key management services and object stores to come. It implements traits that `service` and
//! `storage` define, and `server` puts the two together.

mod smtp;

pub use smtp::{Smtp, SmtpSettings, SmtpTls};
