//! Percent-encoding as it arrives in paths and query strings.

use pinyon_model::{Error, Result, excerpt};

/// Decodes a path segment. `+` is itself.
pub(crate) fn decode_segment(text: &str) -> Result<String> {
    decode(text, false)
}

/// Decodes a name or value of a query string, where `+` is a space.
pub(crate) fn decode_form(text: &str) -> Result<String> {
    decode(text, true)
}

fn decode(text: &str, plus_is_space: bool) -> Result<String> {
    let wrong = || Error::invalid(format!("'{}' is not valid percent-encoded UTF-8", excerpt(text)));
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => digit(bytes.next()).ok_or_else(wrong)? << 4 | digit(bytes.next()).ok_or_else(wrong)?,
            b'+' if plus_is_space => b' ',
            _ => b,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// The parameters of a query string, decoded, in order.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads what follows the `?`.
    pub(crate) fn parse(query: &str) -> Result<Self> {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode_form(name)?, decode_form(value)?))
        };
        query.split('&').filter(|part| !part.is_empty()).map(pair).collect::<Result<_>>().map(Self)
    }
    /// The last value given under a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// As [`Self::get`], where an empty value is as good as none.
    pub(crate) fn get_non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }
    /// All values given under a name.
    pub(crate) fn all(self, name: &str) -> Vec<String> {
        self.0.into_iter().filter(|(n, _)| n == name).map(|(_, v)| v).collect()
    }
    /// A whole number.
    pub(crate) fn get_u32(&self, name: &str) -> Result<Option<u32>> {
        self.get_non_empty(name)
            .map(|v| v.parse().map_err(|_| Error::invalid(format!("{name} is '{}'; it must be a whole number", excerpt(v)))))
            .transpose()
    }
    /// `true` or `false`.
    pub(crate) fn get_bool(&self, name: &str) -> Result<Option<bool>> {
        self.get_non_empty(name)
            .map(|v| v.parse().map_err(|_| Error::invalid(format!("{name} is '{}'; it must be true or false", excerpt(v)))))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        assert_eq!(decode_segment("it%20docs%2Fxx").unwrap(), "it docs/xx");
        assert_eq!(decode_segment("a+b").unwrap(), "a+b");
        assert_eq!(decode_segment("%2E%2e").unwrap(), "..");
        for bad in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert!(decode_segment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn query_strings() {
        let p = Parameters::parse("ids=a&ids=b+c&namespace=&limit=7&x").unwrap();
        assert_eq!(p.get("namespace"), Some(""));
        assert_eq!(p.get_non_empty("namespace"), None);
        assert_eq!(p.get_u32("limit").unwrap(), Some(7));
        assert_eq!(p.all("ids"), ["a", "b c"]);
        assert!(Parameters::parse("limit=-1").unwrap().get_u32("limit").is_err());
        assert!(Parameters::parse("a=%f").is_err());
    }
}
