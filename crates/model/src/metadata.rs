use std::collections::BTreeMap;

use crate::{Error, Result, excerpt, limits::METADATA_BYTES_MAX};

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// Text.
    String(String),
    /// A finite number, kept as 64-bit float as Pinecone does.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// A list of texts; an equality matches when any of them is equal.
    StringList(Vec<String>),
}

/// A record's metadata: a flat object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(BTreeMap<String, MetadataValue>);

impl Metadata {
    /// Checks keys, numbers and the size of the whole.
    pub fn new(fields: BTreeMap<String, MetadataValue>) -> Result<Self> {
        for (key, value) in &fields {
            if key.starts_with('$') {
                return Err(Error::invalid(format!("Metadata key '{}' must not start with '$'", excerpt(key))));
            }
            if let MetadataValue::Number(n) = value
                && !n.is_finite()
            {
                return Err(Error::invalid(format!("Metadata value of '{}' is {n}; numbers must be finite", excerpt(key))));
            }
        }
        let metadata = Self(fields);
        let size = metadata.size_bytes();
        if size > METADATA_BYTES_MAX {
            return Err(Error::invalid(format!(
                "Metadata size is {size} bytes, which exceeds the limit of {METADATA_BYTES_MAX} bytes per vector"
            )));
        }
        Ok(metadata)
    }
    /// The fields, ordered by key.
    pub fn fields(&self) -> &BTreeMap<String, MetadataValue> {
        &self.0
    }
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.0.get(key)
    }
    /// No fields at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The fields of `self` with those of `set` put over them; fails when the whole grows too large.
    pub fn merged(&self, set: &Metadata) -> Result<Metadata> {
        let mut fields = self.0.clone();
        fields.extend(set.0.iter().map(|(k, v)| (k.clone(), v.clone())));
        Self::new(fields)
    }
    /// Counted bytes: each key and text by its bytes, an element of a list at least 1, a number 8, a boolean 1.
    pub fn size_bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| k.len() + v.size_bytes()).sum()
    }
    /// The fields, owned.
    pub fn into_fields(self) -> BTreeMap<String, MetadataValue> {
        self.0
    }
}

impl MetadataValue {
    fn size_bytes(&self) -> usize {
        match self {
            Self::String(s) => s.len(),
            Self::Number(_) => 8,
            Self::Bool(_) => 1,
            // An empty text counts too: otherwise a list of them would be as long as the body allows.
            Self::StringList(l) => l.iter().map(|s| s.len().max(1)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: MetadataValue) -> Result<Metadata> {
        Metadata::new(BTreeMap::from([(key.to_owned(), value)]))
    }

    #[test]
    fn size_edge() {
        let text = |n| MetadataValue::String("x".repeat(n));
        assert!(one("k", text(METADATA_BYTES_MAX - 1)).is_ok());
        assert!(one("k", text(METADATA_BYTES_MAX)).unwrap_err().message.contains("40960"));
    }

    #[test]
    fn a_list_of_empty_texts_is_not_free() {
        let list = |n| one("k", MetadataValue::StringList(vec![String::new(); n]));
        assert!(list(METADATA_BYTES_MAX - 1).is_ok());
        assert!(list(METADATA_BYTES_MAX).is_err());
    }

    #[test]
    fn keys_and_numbers() {
        assert!(one("$k", MetadataValue::Bool(true)).is_err());
        assert!(one("k", MetadataValue::Number(f64::NAN)).is_err());
        assert!(one("", MetadataValue::Number(-0.0)).is_ok());
    }

    #[test]
    fn merge_replaces_and_keeps() {
        let a = Metadata::new(BTreeMap::from([("a".into(), MetadataValue::Number(1.0)), ("b".into(), MetadataValue::Bool(true))])).unwrap();
        let b = one("a", MetadataValue::String("x".into())).unwrap();
        let m = a.merged(&b).unwrap();
        assert_eq!(m.get("a"), Some(&MetadataValue::String("x".into())));
        assert_eq!(m.get("b"), Some(&MetadataValue::Bool(true)));
    }
}
