use crate::{Error, Result};

/// A name that people give: trimmed, `1` to `max` characters, none of them a control character.
pub(crate) fn display_name(what: &str, text: &str, max: usize) -> Result<String> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > max || name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("The name of {what} has 1 to {max} printable characters")));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(display_name("a thing", "  é b ", 3).unwrap(), "é b");
        for bad in ["", "  ", "abcd", "a\tb"] {
            assert!(display_name("a thing", bad, 3).is_err(), "{bad}");
        }
    }
}
