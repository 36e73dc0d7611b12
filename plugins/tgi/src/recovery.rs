//! What a model wrote in place of a tool call.
//!
//! If that is no call, TGI responds with an error, whose message ends with the text as Rust prints it for programmers. A text is
//! as good a response as a call; the beginning of a call is a response that was cut.
//!
//! # Source
//! TGI source, `router/src/infer/tool_grammar.rs` and `router/src/server.rs`: `Failed to parse generated text: {error} {text:?}`.

use std::iter::Peekable;
use std::str::Chars;

use serde::Deserialize;
use sluicegate_plugin::{Fault, json};

const START: &str = "Tool error: Failed to parse generated text: ";

#[derive(Deserialize)]
struct Error {
    error: String,
}

/// A completion of an error that holds what the model wrote; any other error as it is.
///
/// # Errors
/// None; the signature is that of every translation.
pub fn recovered(error: &str) -> Result<String, Fault> {
    let said = serde_json::from_str::<Error>(error).ok();
    let Some(text) = said.and_then(|said| written(&said.error)) else {
        return Ok(error.to_owned());
    };
    let is_call = text.trim_start().starts_with('{');
    let (content, reason) = if is_call {
        ("", "length")
    } else {
        (&*text, "stop")
    };
    let mut out = String::from("{\"choices\":[{\"index\":0,\"message\":{\"content\":");
    json::push_str(&mut out, content);
    out.push_str("},\"finish_reason\":\"");
    out.push_str(reason);
    out.push_str("\"}]}");
    Ok(out)
}

/// The text in a message.
fn written(message: &str) -> Option<String> {
    let rest = message.strip_prefix(START)?;
    let (_, rest) = rest.split_once(" column ")?;
    let (_, printed) = rest.split_once(" \"")?;
    unprinted(printed.strip_suffix('"')?)
}

/// A text that Rust printed for programmers, without its quotes.
fn unprinted(printed: &str) -> Option<String> {
    let mut text = String::with_capacity(printed.len());
    let mut chars = printed.chars().peekable();
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' => escaped(&mut chars)?,
            char => char,
        });
    }
    Some(text)
}

fn escaped(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        'u' => {
            chars.next_if_eq(&'{')?;
            let digits: String = chars.by_ref().take_while(|&char| char != '}').collect();
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
        }
        char @ ('"' | '\'' | '\\') => char,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::recovered;

    fn error(text: &str) -> String {
        let message = format!(
            "Tool error: Failed to parse generated text: expected value at line 1 column 1 {text:?}"
        );
        json!({"error": message, "error_type": "tool_error"}).to_string()
    }

    #[test]
    fn a_text_comes_back_as_the_model_wrote_it() {
        for text in [
            "Hello",
            "\"a\" at column 7 \"b\"\n\t\\ 你好 \u{200b}\u{7}'",
            "",
        ] {
            let found: Value =
                serde_json::from_str(&recovered(&error(text)).expect("text")).expect("JSON");
            let choice = &found["choices"][0];
            assert_eq!(
                (&choice["message"]["content"], &choice["finish_reason"]),
                (&json!(text), &json!("stop"))
            );
        }
    }

    #[test]
    fn the_beginning_of_a_call_is_no_text() {
        let found: Value =
            serde_json::from_str(&recovered(&error("{\"function\": {")).expect("text"))
                .expect("JSON");
        let choice = &found["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!(""), &json!("length"))
        );
    }

    #[test]
    fn other_errors_stay() {
        for other in [
            r#"{"error":"Tool error: Tool with name x not found","error_type":"tool_error"}"#,
            r#"{"error":"Tool error: Failed to parse generated text: odd","error_type":"tool_error"}"#,
            "Not JSON",
        ] {
            assert_eq!(recovered(other).expect("text"), other);
        }
    }
}
