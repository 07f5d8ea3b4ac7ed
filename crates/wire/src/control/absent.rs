//! The lists of what no project can have yet: backups, collections and assistants, the making of which answers 501. A program that
//! cleans up a project reads them first.

/// The body of a page of backups, of which there are none.
pub fn no_backups() -> &'static [u8] {
    br#"{"data":[],"pagination":null}"#
}

/// The body that lists collections, of which there are none.
pub fn no_collections() -> &'static [u8] {
    br#"{"collections":[]}"#
}

/// The body of a page of assistants, of which there are none.
pub fn no_assistants() -> &'static [u8] {
    br#"{"assistants":[],"pagination":null}"#
}
