use std::collections::BTreeMap;

use crate::{
    Error, Result, excerpt,
    limits::{TAG_KEY_LEN_MAX, TAG_VALUE_LEN_MAX, TAGS_MAX},
};

/// An index's tags: at most 20 key-value pairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Checks keys (1 to 80 of `A-Za-z0-9_-`), values (up to 120 printable ASCII) and count. An empty value means "no such tag".
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self> {
        let mut kept = BTreeMap::new();
        for (key, value) in pairs {
            check_key(&key)?;
            if value.len() > TAG_VALUE_LEN_MAX || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                return Err(Error::invalid(format!("Tag value of '{key}' must be at most {TAG_VALUE_LEN_MAX} printable ASCII characters")));
            }
            if !value.is_empty() {
                kept.insert(key, value);
            }
        }
        if kept.len() > TAGS_MAX {
            return Err(Error::invalid(format!("An index can have at most {TAGS_MAX} tags, but got {}", kept.len())));
        }
        Ok(Self(kept))
    }
    /// These tags with `change` put over them; an empty value removes its key.
    pub fn changed(&self, change: BTreeMap<String, String>) -> Result<Self> {
        let mut pairs = self.0.clone();
        pairs.extend(change);
        Self::new(pairs)
    }
    /// The pairs, ordered by key.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
    /// No tags.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check_key(key: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if key.is_empty() || key.len() > TAG_KEY_LEN_MAX || !key.bytes().all(allowed) {
        return Err(Error::invalid(format!(
            "Tag key '{}' is not valid: 1 to {TAG_KEY_LEN_MAX} letters, digits, '_' or '-' are allowed",
            excerpt(key)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(p: &[(&str, &str)]) -> BTreeMap<String, String> {
        p.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn empty_value_removes() {
        let t = Tags::new(pairs(&[("a", "1"), ("b", "2")])).unwrap();
        let t = t.changed(pairs(&[("a", ""), ("c", "3")])).unwrap();
        assert_eq!(*t.pairs(), pairs(&[("b", "2"), ("c", "3")]));
    }

    #[test]
    fn edges() {
        let many = |n: usize| Tags::new((0..n).map(|i| (format!("k{i}"), "v".to_owned())).collect());
        assert!(many(20).is_ok());
        assert!(many(21).is_err());
        assert!(Tags::new(pairs(&[(&"k".repeat(80), &"v".repeat(120))])).is_ok());
        assert!(Tags::new(pairs(&[(&"k".repeat(81), "v")])).is_err());
        assert!(Tags::new(pairs(&[("k", &"v".repeat(121))])).is_err());
        assert!(Tags::new(pairs(&[("k k", "v")])).is_err());
        assert!(Tags::new(pairs(&[("k", "\n")])).is_err());
    }
}
