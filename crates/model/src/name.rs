use crate::{Error, Result, limits::RESOURCE_NAME_LEN_MAX};

/// The name of an index, a collection or a backup of today's dates: 1 to 45 of `a-z`, `0-9` and `-`, starting and ending with a letter or digit.
pub(crate) fn resource_name(what: &str, text: &str) -> Result<Box<str>> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > RESOURCE_NAME_LEN_MAX {
        return Err(Error::invalid(format!("{what} name must be 1 to {RESOURCE_NAME_LEN_MAX} characters long, but has {}", bytes.len())));
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.iter().all(|&b| alphanumeric(b) || b == b'-') || !alphanumeric(bytes[0]) || !alphanumeric(bytes[bytes.len() - 1]) {
        return Err(Error::invalid(
            "Name must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        ));
    }
    Ok(text.into())
}

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
