use proptest::prelude::*;

use super::*;

/// A header that is put together part by part.
#[derive(Debug, Clone)]
struct Parts {
    command: u8,
    family: u8,
    addresses: Vec<u8>,
    tlvs: Vec<(u8, Vec<u8>)>,
}

impl Parts {
    fn v4(tlvs: Vec<(u8, Vec<u8>)>) -> Self {
        Self { command: PROXY, family: TCP_OVER_IPV4, addresses: vec![10, 1, 2, 3, 192, 0, 2, 1, 0x1f, 0x90, 0x01, 0xbb], tlvs }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut rest = self.addresses.clone();
        for (kind, value) in &self.tlvs {
            rest.push(*kind);
            rest.extend((value.len() as u16).to_be_bytes());
            rest.extend(value);
        }
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[self.command, self.family], &length, &rest].concat()
    }

    /// With a checksum at the end.
    fn sealed(&self) -> Vec<u8> {
        let mut with = self.clone();
        with.tlvs.push((TYPE_CRC32C, vec![0; 4]));
        let mut bytes = with.bytes();
        let sum = crc32c::crc32c(&bytes).to_be_bytes();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum);
        bytes
    }
}

fn vpce(id: &str) -> (u8, Vec<u8>) {
    (TYPE_AWS, [&[SUBTYPE_ENDPOINT], id.as_bytes()].concat())
}

fn azure_link(id: u32) -> (u8, Vec<u8>) {
    (TYPE_AZURE, [&[SUBTYPE_ENDPOINT][..], &id.to_le_bytes()].concat())
}

fn proxied(link: Option<PrivateLink>) -> Result<ProxyHeader, Unbelievable> {
    Ok(ProxyHeader::Proxied { source: "10.1.2.3:8080".parse().unwrap(), link })
}

const ID: &str = "vpce-08ff8ff6b9b4e8b0a";

#[test]
fn what_balancers_send() {
    let aws = Some(PrivateLink::parse("aws", ID).unwrap());
    // As a network load balancer does: the endpoint, padding, a checksum.
    let nlb = Parts::v4(vec![vpce(ID), (0x04, vec![0; 40])]);
    assert_eq!(ProxyHeader::parse(&nlb.sealed()), proxied(aws.clone()));
    assert_eq!(ProxyHeader::parse(&nlb.bytes()), proxied(aws));
    assert_eq!(ProxyHeader::parse(&Parts::v4(vec![azure_link(7)]).bytes()), proxied(Some(PrivateLink::Azure(7))));
    assert_eq!(ProxyHeader::parse(&Parts::v4(vec![]).bytes()), proxied(None));
    assert_eq!(ProxyHeader::parse(&Parts::v4(vec![(TYPE_AWS, vec![9, 1, 2])]).bytes()), proxied(None), "an unknown subtype");
    let mut v6 = Parts::v4(vec![vpce(ID)]);
    v6.family = TCP_OVER_IPV6;
    v6.addresses = [&[0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[9], &[0; 16], &[0, 7, 0, 8]].concat();
    let Ok(ProxyHeader::Proxied { source, .. }) = ProxyHeader::parse(&v6.bytes()) else { panic!() };
    assert_eq!(source, "[2001:db8::9]:7".parse().unwrap());
    let local = Parts { command: LOCAL, family: 0, addresses: vec![], tlvs: vec![vpce(ID)] };
    assert_eq!(ProxyHeader::parse(&local.bytes()), Ok(ProxyHeader::Local), "whatever follows");
}

#[test]
fn what_is_refused() {
    let sound = Parts::v4(vec![vpce(ID)]);
    let with = |change: fn(&mut Parts)| {
        let mut parts = sound.clone();
        change(&mut parts);
        parts.bytes()
    };
    let twice = [sound.bytes(), sound.bytes()].concat();
    let mut long = sound.bytes();
    long[15] += 1;
    for (why, bytes) in [
        ("version 1", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()),
        ("two headers", twice),
        ("longer than it is", long),
        ("a byte too many", [&sound.bytes()[..], &[0]].concat()),
        ("UDP", with(|p| p.family = 0x12)),
        ("no family", with(|p| p.family = 0)),
        ("a Unix socket", with(|p| p.family = 0x31)),
        ("IPv4 addresses of IPv6", with(|p| p.family = TCP_OVER_IPV6)),
        ("version 1 in the binary form", with(|p| p.command = 0x11)),
        ("an unknown command", with(|p| p.command = 0x22)),
        ("short addresses", with(|p| (p.addresses.truncate(11), p.tlvs.clear()).1)),
        ("two endpoints", with(|p| p.tlvs.push(vpce(ID)))),
        ("endpoints of two clouds", with(|p| p.tlvs.push(azure_link(7)))),
        ("an id that is none", with(|p| p.tlvs = vec![vpce("vpce-")])),
        ("an id with a zero", with(|p| p.tlvs = vec![vpce("vpce-a\0")])),
        ("an id that is not text", with(|p| p.tlvs = vec![(TYPE_AWS, vec![1, 0xff, 0xfe])])),
        ("half an Azure id", with(|p| p.tlvs = vec![(TYPE_AZURE, vec![1, 7, 0])])),
        ("an empty TLV of a cloud", with(|p| p.tlvs = vec![(TYPE_AWS, vec![])])),
        ("a checksum that does not fit", with(|p| p.tlvs.push((TYPE_CRC32C, vec![1, 2, 3, 4])))),
        ("half a checksum", with(|p| p.tlvs.push((TYPE_CRC32C, vec![1, 2])))),
    ] {
        assert!(ProxyHeader::parse(&bytes).is_err(), "{why}");
    }
    let sealed = sound.sealed();
    for n in 0..sealed.len() {
        assert!(ProxyHeader::parse(&sealed[..n]).is_err(), "cut to {n}");
    }
}

#[test]
fn a_header_ends_at_its_bound() {
    let of = |bytes: usize| Parts::v4(vec![(0x04, vec![0; bytes - FIXED - 12 - 3])]).bytes();
    assert_eq!(of(HEADER_BYTES_MAX).len(), HEADER_BYTES_MAX);
    assert!(ProxyHeader::parse(&of(HEADER_BYTES_MAX)).is_ok());
    assert!(ProxyHeader::parse(&of(HEADER_BYTES_MAX + 1)).is_err());
}

#[tokio::test]
async fn nothing_after_the_header_is_read() {
    let header = Parts::v4(vec![vpce(ID)]).sealed();
    let bytes = [&header[..], b"\x16\x03\x01"].concat();
    let mut stream = &bytes[..];
    assert!(matches!(ProxyHeader::read(&mut stream).await, Ok(ProxyHeader::Proxied { .. })));
    assert_eq!(stream, b"\x16\x03\x01");
    assert!(is_another(header[0]) && !is_another(0x16) && b"GPDOCHT".iter().all(|b| !is_another(*b)));
    let mut cut = &header[..20];
    assert!(ProxyHeader::read(&mut cut).await.is_err());
}

proptest! {
    #[test]
    fn random_bytes_are_no_header(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(ProxyHeader::parse(&bytes).is_err());
        let signed = [&SIGNATURE[..], &bytes].concat();
        // Whatever it is, it is no panic.
        let _ = ProxyHeader::parse(&signed);
    }
}

/// A generator that needs no seed from outside, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
    fn byte(&mut self) -> u8 {
        self.roll(256) as u8
    }
    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most + 1)).map(|_| self.byte()).collect()
    }
    fn id(&mut self) -> String {
        (0..1 + self.roll(20)).fold("vpce-".to_owned(), |id, _| id + &char::from(b"0123456789abcdef"[self.roll(16)]).to_string())
    }
    /// A sound header and what it says.
    fn sound(&mut self) -> (Parts, Option<PrivateLink>) {
        // Types that mean nothing here, and no checksum.
        let mut tlvs: Vec<_> =
            (0..self.roll(4)).map(|_| ([0x01, 0x02, 0x04, 0x20, 0x30, 0xe0, 0xf0][self.roll(7)], self.bytes(30))).collect();
        let link = match self.roll(3) {
            0 => None,
            1 => Some(PrivateLink::parse("aws", &self.id()).unwrap()),
            _ => Some(PrivateLink::Azure(self.roll(1 << 32) as u32)),
        };
        let tlv = link.as_ref().map(|link| match link {
            PrivateLink::Aws(_) => vpce(&link.to_string()),
            PrivateLink::Azure(id) => azure_link(*id),
        });
        if let Some(tlv) = tlv {
            let at = self.roll(tlvs.len() + 1);
            tlvs.insert(at, tlv);
        }
        (Parts::v4(tlvs), link)
    }
    /// A header that is wrong in one way that is known; and, where it may be believed all the same, what it may name at most.
    fn forged(&mut self) -> (Vec<u8>, Option<Option<PrivateLink>>) {
        let (mut parts, link) = self.sound();
        match self.roll(10) {
            0 => parts.command = [0x00, 0x01, 0x11, 0x22, 0x31, 0xff][self.roll(6)],
            1 => parts.family = [0x00, 0x12, 0x22, 0x31, 0x32, 0xff][self.roll(6)],
            2 => parts.tlvs.push((TYPE_CRC32C, vec![self.byte(), self.byte(), self.byte(), 0xff ^ self.byte(), 0])),
            3 => parts.tlvs.extend([vpce(&self.id()), azure_link(1)]),
            4 => parts.tlvs.push(vpce("vpce-\u{7f}")),
            5 => parts.tlvs.push((TYPE_AZURE, [vec![1], self.bytes(3)].concat())),
            6 => {
                // A second header, as a client behind the balancer would send it, within what the first says is its own.
                let second = self.sound().0.sealed();
                return ([parts.sealed(), second].concat(), None);
            }
            7 => {
                let sealed = parts.sealed();
                return (sealed[..self.roll(sealed.len())].to_vec(), None);
            }
            8 => {
                // A length that is not the header's.
                let mut sealed = parts.sealed();
                let length = u16::from_be_bytes([sealed[14], sealed[15]]).wrapping_add(1 + self.roll(65_535) as u16);
                sealed[14..16].copy_from_slice(&length.to_be_bytes());
                return (sealed, None);
            }
            _ => {
                // One bit, under a checksum, which a bit in its own type or in a length can hide: never another endpoint.
                let mut sealed = parts.sealed();
                let at = self.roll(sealed.len());
                sealed[at] ^= 1 << self.roll(8);
                return (sealed, Some(link));
            }
        }
        (parts.bytes(), None)
    }
}

/// `PROXY_HEADERS` says how many, a million by default; what is trusted that should not be is counted, not only met.
#[test]
fn forged_headers_are_never_trusted() {
    let headers: u64 = std::env::var("PROXY_HEADERS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut sound, mut trusted) = (0u64, Vec::new());
    for n in 0..headers {
        if n % 4 == 0 {
            let (parts, link) = dice.sound();
            let bytes = if dice.roll(2) == 0 { parts.bytes() } else { parts.sealed() };
            assert_eq!(ProxyHeader::parse(&bytes), proxied(link), "{bytes:02x?}");
            sound += 1;
            continue;
        }
        let (bytes, may_name) = dice.forged();
        match (ProxyHeader::parse(&bytes), may_name) {
            (Err(_), _) | (Ok(ProxyHeader::Local | ProxyHeader::Proxied { link: None, .. }), Some(_)) => {}
            (Ok(ProxyHeader::Proxied { link, .. }), Some(own)) if link == own => {}
            (Ok(header), _) => trusted.push((header, bytes)),
        }
    }
    println!("{headers} headers, {sound} of them sound and believed, {} forged and trusted, 0 panics", trusted.len());
    assert!(trusted.is_empty(), "{:02x?}", trusted.first());
}
