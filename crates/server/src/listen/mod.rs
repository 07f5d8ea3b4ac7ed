//! The listeners: every port speaks HTTP/1.1, HTTP/2 with prior knowledge, or both over TLS, because the SDKs mix REST
//! and gRPC on one host. A client that is slow, idle or flooding is closed before others notice.

mod activity;
mod connection;
mod guarded;
mod ports;
mod proxy_header;
mod self_signed;
mod tls;

pub(crate) use activity::Connections;
pub(crate) use connection::{Entrance, Handler, Peer};
pub(crate) use ports::Listeners;
pub(crate) use proxy_header::ProxyHeader;
pub(crate) use self_signed::{CertificateFiles, make_self_signed};
pub(crate) use tls::Certificate;
