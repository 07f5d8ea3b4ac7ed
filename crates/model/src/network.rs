use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{Error, Result, excerpt};

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3): `10.0.0.0/8`, `2001:db8::/32`. An address alone is a
/// range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads one. Bits beyond the prefix are an error: somebody meant another range.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || Error::invalid(format!("'{}' is not a network: write 10.0.0.0/8 or 2001:db8::/32", excerpt(text)));
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, digits)) => {
                let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                (address, Some(digits.parse::<u8>().ok().filter(|_| is_number).ok_or_else(malformed)?))
            }
        };
        let first: IpAddr = address.parse().map_err(|_| malformed())?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(malformed());
        }
        if matches!(first, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(Error::invalid(format!("'{}' is an IPv4 address in IPv6 clothes: write it as IPv4", excerpt(text))));
        }
        let network = Self { first: masked(first, prefix), prefix };
        if network.first != first {
            return Err(Error::invalid(format!("'{}' has bits beyond its prefix; {network} is the network it lies in", excerpt(text))));
        }
        Ok(network)
    }

    /// Whether every address of its family is in the range.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Whether the address is in the range. An IPv4 address that IPv6 carries is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.prefix) == self.first
    }
}

/// The address with the bits beyond the prefix at zero.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_they_say() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("192.168.1.6/31", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::1/128", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(ip(inside)), "{network} {inside}");
            assert!(!parsed.contains(ip(outside)), "{network} {outside}");
            assert_eq!(Network::parse(&parsed.to_string()), Ok(parsed));
        }
        assert_eq!(Network::parse("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        let everything = |text: &str| Network::parse(text).unwrap().is_everything();
        assert!(everything("0.0.0.0/0") && everything("::/0") && !everything("0.0.0.0/1") && !everything("0.0.0.0"));
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/08x",
            "10.0.0/8",
            "example.org",
            "10.0.0.0/8/8",
            " 10.0.0.1",
        ] {
            assert!(Network::parse(bad).unwrap_err().message.contains("is not a network"), "{bad}");
        }
        assert!(Network::parse(&"x".repeat(32 << 20)).unwrap_err().message.len() < 200, "a long text is not said back");
        assert!(Network::parse("10.0.0.1/8").unwrap_err().message.contains("10.0.0.0/8 is the network"));
        assert!(Network::parse("::ffff:10.0.0.0/104").unwrap_err().message.contains("as IPv4"));
    }
}
