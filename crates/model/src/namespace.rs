use std::{collections::BTreeSet, fmt};

use crate::{
    Error, Result, excerpt,
    limits::{FIELD_NAME_LEN_MAX, METADATA_SCHEMA_FIELDS_MAX},
    text,
};

/// What a namespace is called: 1 to 512 ASCII characters without NUL. The empty name is the default namespace, whose
/// one spelling inside Pinyon is `__default__`; `wire` prints it as the caller's date expects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName(Box<str>);

impl NamespaceName {
    /// The default namespace's name.
    pub const DEFAULT: &'static str = "__default__";

    /// Checks the text; `""` and `"__default__"` are the same.
    pub fn new(text: &str) -> Result<Self> {
        text::check_ascii("Namespace", text)?;
        Ok(Self(if text.is_empty() { Self::DEFAULT } else { text }.into()))
    }
    /// The text, `__default__` for the default namespace.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether this is the default namespace.
    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }
}

impl Default for NamespaceName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What the ids or names of a listing begin with: 0 to 512 ASCII characters without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self> {
        text::check_ascii("Prefix", text)?;
        Ok(Self(text.into()))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which metadata fields may be filtered on; without a schema, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataSchema(BTreeSet<String>);

impl MetadataSchema {
    /// Checks the names: at most 50, each 1 to 64 bytes and not starting with `$`.
    pub fn new(fields: BTreeSet<String>) -> Result<Self> {
        if fields.len() > METADATA_SCHEMA_FIELDS_MAX {
            return Err(Error::invalid(format!("Schema has {} fields; at most {METADATA_SCHEMA_FIELDS_MAX} are allowed", fields.len())));
        }
        for field in &fields {
            if field.is_empty() || field.len() > FIELD_NAME_LEN_MAX || field.starts_with('$') {
                return Err(Error::invalid(format!(
                    "Schema field '{}' is not valid: a name has 1 to {FIELD_NAME_LEN_MAX} bytes and does not start with '$'",
                    excerpt(field)
                )));
            }
        }
        Ok(Self(fields))
    }
    /// The filterable fields, in order.
    pub fn fields(&self) -> &BTreeSet<String> {
        &self.0
    }
    /// Whether a filter may name `field`.
    pub fn contains(&self, field: &str) -> bool {
        self.0.contains(field)
    }
}

/// What can be said of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceDescription {
    /// Its name.
    pub name: NamespaceName,
    /// Live records.
    pub record_count: u64,
    /// Counted bytes of the live records, see [`crate::Record::size_bytes`].
    pub size_bytes: u64,
    /// The schema it was created with.
    pub schema: Option<MetadataSchema>,
    /// Metadata fields that occur and can be filtered on, when known.
    pub indexed_fields: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_has_two_spellings_and_one_value() {
        assert_eq!(NamespaceName::new("").unwrap(), NamespaceName::new("__default__").unwrap());
        assert!(NamespaceName::new("").unwrap().is_default());
        assert!(!NamespaceName::new("a").unwrap().is_default());
    }

    #[test]
    fn name_edges() {
        assert!(NamespaceName::new(&"n".repeat(512)).is_ok());
        assert!(NamespaceName::new(&"n".repeat(513)).is_err());
        assert!(NamespaceName::new("a\0b").is_err());
        assert!(NamespaceName::new("é").is_err());
        assert!(NamespaceName::new("it docs/xx..xx").is_ok());
    }

    #[test]
    fn schema_edges() {
        let n = |n: usize| MetadataSchema::new((0..n).map(|i| format!("f{i}")).collect());
        assert!(n(50).is_ok());
        assert!(n(51).is_err());
        assert!(MetadataSchema::new(BTreeSet::from(["$x".to_owned()])).is_err());
    }
}
