use std::fmt;

use pinyon_model::{Error, Result, excerpt};

/// The header that names the date a client was built for, in lower case as header maps keep it.
pub const VERSION_HEADER: &str = "x-pinecone-api-version";

/// A date of Pinecone's API, ordered by age. The date decides the shapes of the control plane and a few spellings of the
/// data plane; it never decides what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// 2024-04.
    V2024_04,
    /// 2024-07.
    V2024_07,
    /// 2024-10.
    V2024_10,
    /// 2025-01: sparse indexes, tags, `vector_type`.
    V2025_01,
    /// 2025-04: namespaces, backups, BYOC.
    V2025_04,
    /// 2025-10: read capacity, metadata schemas, fetch and update by metadata.
    V2025_10,
    /// 2026-04: as 2025-10.
    V2026_04,
    /// 2026-07, and 2026-01.alpha which became it: `schema` and `deployment` instead of `spec`.
    V2026_07,
}

/// The two shapes an index has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `dimension`, `metric`, `spec`: up to 2026-04.
    Spec,
    /// `schema`, `deployment`: 2026-07.
    Schema,
}

impl ApiVersion {
    /// All of them, oldest first.
    pub const ALL: [ApiVersion; 8] = [
        ApiVersion::V2024_04,
        ApiVersion::V2024_07,
        ApiVersion::V2024_10,
        ApiVersion::V2025_01,
        ApiVersion::V2025_04,
        ApiVersion::V2025_10,
        ApiVersion::V2026_04,
        ApiVersion::V2026_07,
    ];
    /// What a request without the header speaks.
    pub const OLDEST: ApiVersion = ApiVersion::V2024_04;
    /// The newest date known.
    pub const NEWEST: ApiVersion = ApiVersion::V2026_07;

    /// The date as the header spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ApiVersion::V2024_04 => "2024-04",
            ApiVersion::V2024_07 => "2024-07",
            ApiVersion::V2024_10 => "2024-10",
            ApiVersion::V2025_01 => "2025-01",
            ApiVersion::V2025_04 => "2025-04",
            ApiVersion::V2025_10 => "2025-10",
            ApiVersion::V2026_04 => "2026-04",
            ApiVersion::V2026_07 => "2026-07",
        }
    }

    /// Reads the header's value: absent or older than the oldest is the oldest; a date between two is the older of them; newer than the newest
    /// is the newest; `2026-01.alpha` is 2026-07; anything that is not `YYYY-MM` (or `YYYY-MM.word`), once or the same again after a comma, is a 400.
    pub fn from_header(value: Option<&str>) -> Result<Self> {
        let Some(text) = value.map(str::trim) else { return Ok(Self::OLDEST) };
        let malformed = || {
            Error::invalid(format!(
                "API version '{}' is not valid: expected YYYY-MM, of which {} to {} are known",
                excerpt(text),
                Self::OLDEST,
                Self::NEWEST
            ))
        };
        // Some SDKs send the header twice, and a proxy on the way joins the two into one line.
        let text = match text.split_once(',') {
            Some((first, rest)) if rest.split(',').all(|again| again.trim() == first.trim()) => first.trim(),
            _ => text,
        };
        if text.is_empty() {
            return Ok(Self::OLDEST);
        }
        if text.eq_ignore_ascii_case("2026-01.alpha") {
            return Ok(ApiVersion::V2026_07);
        }
        let (date, suffix) = text.split_once('.').map_or((text, None), |(date, suffix)| (date, Some(suffix)));
        let bytes = date.as_bytes();
        let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
        let shaped = bytes.len() == 7 && bytes[4] == b'-' && digits(&bytes[..4]) && digits(&bytes[5..]);
        let month = shaped && matches!(&bytes[5..], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2']);
        if !month || suffix.is_some_and(|s| s.is_empty() || !s.bytes().all(|b| b.is_ascii_alphanumeric())) {
            return Err(malformed());
        }
        // YYYY-MM sorts as text.
        Ok(Self::ALL.into_iter().rev().find(|v| v.as_str() <= date).unwrap_or(Self::OLDEST))
    }

    pub(crate) fn family(self) -> Family {
        if self == ApiVersion::V2026_07 { Family::Schema } else { Family::Spec }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_rule() {
        let read = |s: &str| ApiVersion::from_header(Some(s)).unwrap();
        assert_eq!(ApiVersion::from_header(None).unwrap(), ApiVersion::V2024_04);
        for version in ApiVersion::ALL {
            assert_eq!(read(version.as_str()), version);
        }
        assert_eq!(read("2019-01"), ApiVersion::V2024_04);
        assert_eq!(read("2024-09"), ApiVersion::V2024_07);
        assert_eq!(read("2026-01.alpha"), ApiVersion::V2026_07);
        assert_eq!(read("2026-10"), ApiVersion::V2026_07);
        assert_eq!(read("9999-12"), ApiVersion::V2026_07);
        assert_eq!(read("2026-01"), ApiVersion::V2025_10);
        assert_eq!(read("2025-10, 2025-10"), ApiVersion::V2025_10);
        for bad in [
            "unstable",
            "2024",
            "2024-7",
            "2024-13",
            "2024-00",
            "20240-7",
            "2024-07-01",
            "2024-07.",
            "2024-07.a b",
            "2025-10, 2026-07",
            "2025-10,",
            "２０２４-07",
        ] {
            assert_eq!(ApiVersion::from_header(Some(bad)).unwrap_err().code, pinyon_model::ErrorCode::InvalidArgument, "{bad}");
        }
    }
}
