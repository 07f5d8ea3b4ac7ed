//! The one rule for ids, namespace names and prefixes.

use crate::{Error, Result, limits::ID_LEN_MAX};

/// 0 to 512 ASCII characters, none of them NUL. `what` opens the message: "Vector ID", "Namespace".
pub(crate) fn check_ascii(what: &str, text: &str) -> Result<()> {
    if text.len() > ID_LEN_MAX {
        return Err(Error::invalid(format!("{what} is {} bytes long; at most {ID_LEN_MAX} ASCII characters are allowed", text.len())));
    }
    match text.bytes().find(|b| !b.is_ascii() || *b == 0) {
        None => Ok(()),
        Some(0) => Err(Error::invalid(format!("{what} must not contain a NUL character"))),
        Some(_) => Err(Error::invalid(format!("{what} must be ASCII, but got '{}'", text.escape_debug()))),
    }
}
