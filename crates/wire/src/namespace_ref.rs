use pinyon_model::{NamespaceName, Result};

/// A namespace as a request names it: what it means, and how it was spelled. The default namespace has two spellings, and an
/// answer repeats the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceRef {
    /// Which namespace.
    pub name: NamespaceName,
    spelled_empty: bool,
}

impl NamespaceRef {
    /// Reads the spelling; an absent namespace is the empty one.
    pub fn new(text: Option<&str>) -> Result<Self> {
        let text = text.unwrap_or_default();
        Ok(Self { name: NamespaceName::new(text)?, spelled_empty: text.is_empty() })
    }
    /// As the caller spelled it.
    pub fn as_spelled(&self) -> &str {
        if self.spelled_empty { "" } else { self.name.as_str() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_repeats_the_callers_spelling() {
        for spelling in ["", "__default__", "a b/c"] {
            assert_eq!(NamespaceRef::new(Some(spelling)).unwrap().as_spelled(), spelling);
        }
        let absent = NamespaceRef::new(None).unwrap();
        assert_eq!((absent.as_spelled(), absent.name.is_default()), ("", true));
        assert!(NamespaceRef::new(Some("é")).is_err());
    }
}
