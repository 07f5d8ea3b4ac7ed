//! The one rule for ids, namespace names and prefixes, and how a caller's text is said back.

use crate::{Error, Result, limits::ID_LEN_MAX};

/// Characters of a caller's text that an error says back.
const EXCERPT_LEN_MAX: usize = 64;

/// A caller's text as an error says it back: escaped, and cut short. A body of many megabytes may be a single wrong word, and what is added
/// to an error on its way would multiply it.
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_LEN_MAX) {
        None => text.escape_debug().to_string(),
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
    }
}

/// 0 to 512 ASCII characters, none of them NUL. `what` opens the message: "Vector ID", "Namespace".
pub(crate) fn check_ascii(what: &str, text: &str) -> Result<()> {
    if text.len() > ID_LEN_MAX {
        return Err(Error::invalid(format!("{what} is {} bytes long; at most {ID_LEN_MAX} ASCII characters are allowed", text.len())));
    }
    match text.bytes().find(|b| !b.is_ascii() || *b == 0) {
        None => Ok(()),
        Some(0) => Err(Error::invalid(format!("{what} must not contain a NUL character"))),
        Some(_) => Err(Error::invalid(format!("{what} must be ASCII, but got '{}'", excerpt(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!((excerpt(""), excerpt("a'b\n\0é")), (String::new(), "a\\'b\\n\\0é".to_owned()));
        let (longest, cut) = ("é".repeat(64), format!("{}…", "é".repeat(64)));
        assert_eq!((excerpt(&longest), excerpt(&format!("{longest}é"))), (longest.clone(), cut.clone()));
        assert_eq!(excerpt(&longest.repeat(1 << 16)), cut);
        assert_eq!(excerpt(&"\n".repeat(65)), format!("{}…", "\\n".repeat(64)), "characters of the text count, not of what they become");
    }
}
