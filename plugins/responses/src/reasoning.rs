//! Reasoning in an opaque form: `encrypted_content`, which a client keeps and sends back.
//!
//! The text is encoded, not encrypted: the client may read it anyway, as the text of the same item. What others issued, such as
//! OpenAI, cannot be read.

use data_encoding::BASE64URL_NOPAD;

/// What ours begin with. OpenAI's begin with `gAAAA`.
const PREFIX: &str = "sluicegate1.";

/// The opaque form of a text.
pub fn seal(text: &str) -> String {
    let mut sealed = PREFIX.to_owned();
    BASE64URL_NOPAD.encode_append(text.as_bytes(), &mut sealed);
    sealed
}

/// The text of an opaque form; `None` if it was not made here.
pub fn open(sealed: &str) -> Option<String> {
    let encoded = sealed.strip_prefix(PREFIX)?;
    let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_here_can_be_opened() {
        for text in ["", "a", "I think.\n", "你好 \u{0} 😀"] {
            let sealed = seal(text);
            assert!(text.len() < 3 || !sealed.contains(text));
            assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(open(&sealed).as_deref(), Some(text));
        }
        for foreign in [
            "",
            "gAAAAABo",
            "sluicegate1.=",
            "sluicegate1._w",
            "I think.",
        ] {
            assert_eq!(open(foreign), None, "{foreign}");
        }
    }
}
