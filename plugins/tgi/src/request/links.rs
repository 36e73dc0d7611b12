//! Images in Markdown.
//!
//! TGI looks for `![](address)` in the whole prompt and fetches what it finds: every text of a client, be it a message, the
//! description of a tool or the result of one, is a way into the operator's network.

use sluicegate_plugin::json;

/// What TGI looks for, and what it does not find any more.
///
/// # Source
/// TGI source, `router/src/validation.rs` (`prepare_input`): `!\[\]\([^\)]*\)`.
const FOUND: &str = "![](";
const HIDDEN: &str = "![ ](";

/// JSON in which no string has such an image; `None` if it is so already.
pub(super) fn hidden(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(start) = text[at..].find('"').map(|start| at + start) {
        let end = end_of_string(text, start);
        let string = &text[start..end];
        // A string without escapes can be searched as it is.
        if string.contains(FOUND) || string.contains('\\') {
            let decoded = serde_json::from_str::<String>(string).ok();
            let decoded = decoded.unwrap_or_else(|| string[1..string.len() - 1].to_owned());
            if decoded.contains(FOUND) {
                out.push_str(&text[copied..start]);
                json::push_str(&mut out, &decoded.replace(FOUND, HIDDEN));
                copied = end;
            }
        }
        at = end;
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// The end of the string that begins at `start`, behind its quote.
fn end_of_string(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn images_in_texts_are_hidden_however_they_are_written() {
        for (json, expected) in [
            (
                r#"["a ![](http://x/) b"]"#,
                Some(r#"["a ![ ](http://x/) b"]"#),
            ),
            (
                r#"{"![](k":"\u0021[\u005d(http:\/\/x/)"}"#,
                Some(r#"{"![ ](k":"![ ](http://x/)"}"#),
            ),
            (r#"["\"![](a)"]"#, Some(r#"["\"![ ](a)"]"#)),
            (r#"["![alt](http://x/)","![","](a)"]"#, None),
            (r#"[1,"a\\",{"b":null}]"#, None),
            ("[]", None),
        ] {
            assert_eq!(hidden(json).as_deref(), expected, "{json}");
        }
    }
}
