//! A key's bounds as a command line says them.

use std::collections::BTreeSet;

use pinyon_model::{Error, IndexName, NamespaceName, Network, RestrictionsChange, Result, excerpt};
use pinyon_wire::parse_rfc3339;

use crate::config::BoundsArgs;

const NEVER: &str = "never";

/// When the key is to expire (`Some(None)`: never), and what it is to be held to.
pub(super) fn read(args: BoundsArgs, now_ms: u64) -> Result<(Option<Option<u64>>, RestrictionsChange)> {
    let BoundsArgs { expires, indexes, any_index, namespaces, any_namespace, networks, any_network } = args;
    let change = RestrictionsChange {
        indexes: read_set(&indexes, any_index, "--index", IndexName::new)?,
        namespaces: read_set(&namespaces, any_namespace, "--namespace", NamespaceName::new)?,
        networks: read_set(&networks, any_network, "--network", Network::parse)?,
    };
    Ok((expires.map(|text| read_expiry(&text, now_ms)).transpose()?, change))
}

/// The names; none when nothing is to change, and no names when a restriction is to be taken away.
fn read_set<T: Ord>(names: &[String], any: bool, option: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<BTreeSet<T>>> {
    let read = |name: &String| parse(name).map_err(|e| Error::new(e.code, format!("{option}: {}", e.message)));
    let set = names.iter().map(read).collect::<Result<BTreeSet<T>>>()?;
    Ok(Some(set).filter(|set| any || !set.is_empty()))
}

fn read_expiry(text: &str, now_ms: u64) -> Result<Option<u64>> {
    if text == NEVER {
        return Ok(None);
    }
    if let Some(at) = parse_rfc3339(text) {
        return Ok(Some(at));
    }
    duration_ms(text).map(|ms| Some(now_ms.saturating_add(ms))).map_err(|_| {
        Error::invalid(format!("--expires '{}': write 90d, 12h, 30m, a moment as 2027-01-31T12:00:00Z, or {NEVER}", excerpt(text)))
    })
}

/// `90d`, `12h`, `30m`, `45s`.
pub(crate) fn duration_ms(text: &str) -> Result<u64> {
    let read = || {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit_ms: u64 = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit_ms)
    };
    read().ok_or_else(|| Error::invalid(format!("'{}' is no length of time: write 30m, 12h or 90d", excerpt(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(duration_ms("90d"), Ok(90 * 86_400_000));
        assert_eq!((duration_ms("0s"), duration_ms("12h"), duration_ms("30m")), (Ok(0), Ok(43_200_000), Ok(1_800_000)));
        for bad in ["", "d", "1", "1w", "-1d", "+1d", "1.5h", "99999999999999999999d", "1é"] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_are_read() {
        let args = BoundsArgs { expires: Some("1m".into()), indexes: vec!["movies".into()], any_namespace: true, ..BoundsArgs::default() };
        let (expires, change) = read(args, 1_000).unwrap();
        assert_eq!(expires, Some(Some(61_000)));
        assert_eq!((change.indexes.unwrap().len(), change.namespaces, change.networks), (1, Some(BTreeSet::new()), None));
        let expires = |text: &str| read(BoundsArgs { expires: Some(text.into()), ..BoundsArgs::default() }, 0).map(|(at, _)| at);
        assert_eq!((expires("never"), expires("1970-01-01T00:00:05Z")), (Ok(Some(None)), Ok(Some(Some(5_000)))));
        assert!(expires("soon").unwrap_err().message.contains("--expires 'soon'"));
        let wrong = BoundsArgs { networks: vec!["10.0.0.1/8".into()], ..BoundsArgs::default() };
        assert!(read(wrong, 0).unwrap_err().message.starts_with("--network: "));
    }
}
