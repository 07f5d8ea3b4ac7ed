//! What is read of AWS's answers: the text of an element, by its name. They are small, and of a fixed shape.

/// The text of the first element of this name that holds no other; none when there is none.
pub(crate) fn text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let begin = xml.find(&open)? + open.len();
    let rest = &xml[begin..];
    let text = &rest[..rest.find(&close)?];
    (!text.contains('<')).then_some(text)
}

/// A text for people: entities are spelled out, what cannot be printed is left out, and it ends after 300 characters.
pub(crate) fn readable(text: &str) -> String {
    let plain = [("&quot;", "\""), ("&apos;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character));
    plain.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements() {
        let xml = "<R><Error><Code>AccessDenied</Code><Message>not &lt;you&gt; &amp;amp; yours</Message></Error><Empty></Empty></R>";
        assert_eq!(text(xml, "Code"), Some("AccessDenied"));
        assert_eq!(text(xml, "Message").map(readable), Some("not <you> &amp; yours".to_owned()));
        assert_eq!(text(xml, "Empty"), Some(""));
        assert_eq!((text(xml, "Error"), text(xml, "None"), text("<Code>cut", "Code")), (None, None, None));
        assert_eq!(readable(&"x".repeat(400)).len(), 300);
        assert_eq!(readable("a\r\nb\u{1b}[31m"), "ab[31m");
    }

    proptest! {
        #[test]
        fn nothing_panics(xml in prop_oneof![".{0,200}", "(<|>|/|Code|&|amp;|é){0,60}"]) {
            for name in ["Code", "", "é"] {
                if let Some(found) = text(&xml, name) {
                    prop_assert!(readable(found).chars().count() <= 300);
                }
            }
        }
    }
}
