//! The header of PROXY protocol, version 2, that a balancer puts before a connection's first byte: who connects, and by which private
//! endpoint. It is believed only where the listener requires it and the balancer is known, and it is read strictly: what is odd is
//! refused, because a client behind a balancer may send a header of its own.
//!
//! ```text
//! signature 12 ‖ 0x20 LOCAL or 0x21 PROXY ‖ family and protocol u8 ‖ length of the rest u16
//! TCP over IPv4 (0x11): source 4, destination 4, ports 2 × u16; over IPv6 (0x21): 16, 16, 2 × u16
//! TLVs: type u8 ‖ length u16 ‖ value          numbers are big-endian
//! ```

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use pinyon_model::{PrivateLink, VpcEndpointId};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
/// What a header may have in all.
pub(crate) const HEADER_BYTES_MAX: usize = 1_024;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

const TYPE_CRC32C: u8 = 0x03;
const TYPE_AWS: u8 = 0xea;
const TYPE_AZURE: u8 = 0xee;
/// Of either cloud: the endpoint's id.
const SUBTYPE_ENDPOINT: u8 = 0x01;

/// What a balancer says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// It is the balancer's own: a health check.
    Local,
    /// It is this client's.
    Proxied { source: SocketAddr, link: Option<PrivateLink> },
}

/// Why a header is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unbelievable(&'static str);

impl ProxyHeader {
    /// Reads the header at the beginning of a stream, and nothing after it.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let refused = |e: Unbelievable| io::Error::new(io::ErrorKind::InvalidData, e);
        let mut bytes = vec![0; FIXED];
        stream.read_exact(&mut bytes).await?;
        let length = total_length(&bytes).map_err(refused)?;
        bytes.resize(length, 0);
        stream.read_exact(&mut bytes[FIXED..]).await?;
        Self::parse(&bytes).map_err(refused)
    }

    /// Reads a header that ends where the bytes do.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unbelievable> {
        if total_length(bytes)? != bytes.len() {
            return Err(Unbelievable("it is not as long as it says"));
        }
        let (command, family, rest) = (bytes[12], bytes[13], &bytes[FIXED..]);
        match (command, family) {
            // What follows is for nobody, by the protocol.
            (LOCAL, _) => return Ok(ProxyHeader::Local),
            (PROXY, TCP_OVER_IPV4 | TCP_OVER_IPV6) => {}
            (PROXY, _) => return Err(Unbelievable("it is not about TCP over IPv4 or IPv6")),
            _ => return Err(Unbelievable("its version or command is unknown")),
        }
        let (source, tlvs) = if family == TCP_OVER_IPV4 { source_v4(rest) } else { source_v6(rest) }?;
        Ok(ProxyHeader::Proxied { source, link: link(bytes, tlvs)? })
    }
}

/// Bytes of the whole header, by its first 16.
fn total_length(bytes: &[u8]) -> Result<usize, Unbelievable> {
    let Some((SIGNATURE, [_, _, high, low, ..])) = bytes.split_first_chunk() else {
        return Err(Unbelievable("it has no signature of version 2"));
    };
    let length = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if length > HEADER_BYTES_MAX { Err(Unbelievable("it is too long")) } else { Ok(length) }
}

fn source_v4(rest: &[u8]) -> Result<(SocketAddr, &[u8]), Unbelievable> {
    let ([a, b, c, d, _, _, _, _, high, low, _, _], tlvs) = rest.split_first_chunk().ok_or(NO_ADDRESS)?;
    Ok((SocketAddr::new(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*high, *low])), tlvs))
}

fn source_v6(rest: &[u8]) -> Result<(SocketAddr, &[u8]), Unbelievable> {
    let (addresses, tlvs) = rest.split_first_chunk::<36>().ok_or(NO_ADDRESS)?;
    let (source, _) = addresses.split_first_chunk::<16>().ok_or(NO_ADDRESS)?;
    Ok((SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*source)), u16::from_be_bytes([addresses[32], addresses[33]])), tlvs))
}

const NO_ADDRESS: Unbelievable = Unbelievable("its addresses are cut short");

/// The endpoint that the TLVs name. Those of other types say nothing here; one that makes no sense spoils the header.
fn link(header: &[u8], mut tlvs: &[u8]) -> Result<Option<PrivateLink>, Unbelievable> {
    let (mut link, mut has_checksum) = (None, false);
    while !tlvs.is_empty() {
        let cut = Unbelievable("a TLV is cut short");
        let ([kind, high, low], rest) = tlvs.split_first_chunk().ok_or(cut)?;
        let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).ok_or(cut)?;
        let found = match (*kind, value) {
            (TYPE_CRC32C, value) => {
                let at = header.len() - after.len() - value.len();
                if std::mem::replace(&mut has_checksum, true) || value.len() != 4 || value != checksum(header, at).to_be_bytes() {
                    return Err(Unbelievable("its checksum is wrong"));
                }
                None
            }
            (TYPE_AWS, [SUBTYPE_ENDPOINT, id @ ..]) => Some(aws(id)?),
            (TYPE_AZURE, [SUBTYPE_ENDPOINT, id @ ..]) => Some(azure(id)?),
            (TYPE_AWS | TYPE_AZURE, []) => return Err(Unbelievable("a cloud's TLV says nothing")),
            _ => None,
        };
        if found.is_some() && std::mem::replace(&mut link, found).is_some() {
            return Err(Unbelievable("it names two endpoints"));
        }
        tlvs = after;
    }
    Ok(link)
}

fn aws(id: &[u8]) -> Result<PrivateLink, Unbelievable> {
    let id = std::str::from_utf8(id).ok().and_then(|text| VpcEndpointId::parse(text).ok());
    id.map(PrivateLink::Aws).ok_or(Unbelievable("its VPC endpoint id is none"))
}

fn azure(id: &[u8]) -> Result<PrivateLink, Unbelievable> {
    id.try_into().map(|id| PrivateLink::Azure(u32::from_le_bytes(id))).map_err(|_| Unbelievable("its Azure link id is not 4 bytes"))
}

/// CRC-32C of the header with its own place, the four bytes from `at`, taken as zeros.
fn checksum(header: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(&header[..at]);
    crc32c::crc32c_append(crc32c::crc32c_append(before, &[0; 4]), &header[at + 4..])
}

/// Whether a stream that begins like this begins with another header.
pub(crate) fn is_another(first: u8) -> bool {
    // Neither TLS nor HTTP begins with a carriage return, and version 1 is no HTTP either.
    first == SIGNATURE[0]
}

#[cfg(test)]
#[path = "proxy_header_tests.rs"]
mod tests;
