//! The list of what no project can have yet: assistants, the making of which answers 501. A program that cleans up a project reads it first.

/// The body of a page of assistants, of which there are none.
pub fn no_assistants() -> &'static [u8] {
    br#"{"assistants":[],"pagination":null}"#
}
