//! One entry for each parser of bytes that nobody vouches for, for fuzzing: each takes arbitrary bytes and must return.

use crate::listen::ProxyHeader;

/// The header that a balancer puts before a connection.
pub fn proxy_header(bytes: &[u8]) {
    if let Ok(ProxyHeader::Proxied { link: Some(link), .. }) = ProxyHeader::parse(bytes) {
        let again = pinyon_model::PrivateLink::parse(link.provider(), &link.to_string());
        assert_eq!(again, Ok(link), "what is believed can be written down");
    }
}
