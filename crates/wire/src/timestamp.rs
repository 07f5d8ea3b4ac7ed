//! Moments as the API spells them.

use pinyon_model::{civil, days_since_1970};

/// RFC 3339 in UTC with milliseconds, `2026-04-10T15:23:00.000Z`, of milliseconds since 1970.
pub fn rfc3339(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// When years get a fifth digit, which RFC 3339 does not spell.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// Milliseconds since 1970 of a moment in RFC 3339 (section 5.6), with any offset; fractions beyond milliseconds are cut off. None for
/// what is no such moment, or lies before 1970. A leap second is the moment after it.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = bytes.get(range)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|b| any.contains(b));
    let shaped = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !shaped || !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_1970(year, month, day);
    if day == 0 || civil(days) != (year, month, day) {
        return None;
    }
    let rest = bytes.get(19..)?;
    let (ms, offset) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            let ms = (0..3).fold(0, |n, i| n * 10 + fraction.get(i).filter(|_| i < digits).map_or(0, |d| u64::from(d - b'0')));
            (ms, fraction.get(digits..).filter(|_| digits > 0)?)
        }
    };
    let at = (days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000 + ms;
    let ahead_ms = |digits: &[u8]| -> Option<u64> {
        let two = |at: usize| digits.get(at..at + 2)?.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')));
        let (hours, minutes) = (two(0)?, two(3)?);
        (digits.len() == 5 && digits[2] == b':' && hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)
    };
    let moment = match offset {
        b"Z" | b"z" => Some(at),
        [b'+', digits @ ..] => at.checked_sub(ahead_ms(digits)?),
        [b'-', digits @ ..] => at.checked_add(ahead_ms(digits)?),
        _ => None,
    };
    moment.filter(|ms| *ms < YEAR_10000_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_775_834_580_000, "2026-04-10T15:23:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
        assert!(rfc3339(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn moments_read_back_with_any_offset() {
        for ms in (0..400_000).map(|day| day * 86_400_000 + day % 86_400_000).take_while(|ms| *ms < 253_402_300_800_000) {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms));
        }
        for (text, ms) in [
            ("2026-04-10T15:23:00Z", 1_775_834_580_000),
            ("2026-04-10t15:23:00.5z", 1_775_834_580_500),
            ("2026-04-10 15:23:00.1239Z", 1_775_834_580_123),
            ("2026-04-10T17:53:00+02:30", 1_775_834_580_000),
            ("2026-04-10T12:53:00-02:30", 1_775_834_580_000),
            ("1970-01-01T00:00:60Z", 60_000),
        ] {
            assert_eq!(parse_rfc3339(text), Some(ms), "{text}");
        }
        for bad in [
            "",
            "2026-04-10",
            "2026-04-10T15:23:00",
            "2026-04-10T15:23Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T15:23:00Z",
            "2026-04-00T15:23:00Z",
            "2026-13-10T15:23:00Z",
            "2026-04-31T15:23:00Z",
            "2026-04-10T24:00:00Z",
            "2026-04-10T15:60:00Z",
            "2026-04-10T15:23:61Z",
            "2026-04-10T15:23:00.Z",
            "2026-04-10T15:23:00+2:30",
            "2026-04-10T15:23:00+24:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+026-04-10T15:23:00Z",
            "2026-04-10T15:23:00Zé",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
