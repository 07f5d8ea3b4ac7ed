use crate::{Error, Result, excerpt};

/// An e-mail address, lower-cased where it counts: `local@domain`, 3 to 254 characters of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// Checks the form. Whether somebody reads mail there only a mail can tell.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        let bad = || Error::invalid(format!("'{}' is not an e-mail address", excerpt(text)));
        let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        let atom = |a: &str| !a.is_empty() && a.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b));
        let well = text.len() <= 254 && local.len() <= 64 && local.split('.').all(atom) && domain.split('.').all(label);
        if well { Ok(Self(text.to_ascii_lowercase())) } else { Err(bad()) }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@b", "First.Last+tag@Example.COM", "x@y-z.co", &format!("{}@b.c", "l".repeat(64))] {
            assert_eq!(Email::new(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b c", "a..b@c", ".a@b", "a@-b", "a@b-", "a@b..c", "é@b", "a@b\n.c", "a\"@b"] {
            assert!(Email::new(bad).is_err(), "{bad}");
        }
        assert!(Email::new(&format!("{}@b", "l".repeat(65))).is_err());
        let label = "d".repeat(61);
        let long = |n: usize| format!("{}@{label}.{label}.{label}.{}", "l".repeat(60), "e".repeat(n));
        assert_eq!((long(7).len(), Email::new(&long(7)).is_ok(), Email::new(&long(8)).is_ok()), (254, true, false));
    }
}
