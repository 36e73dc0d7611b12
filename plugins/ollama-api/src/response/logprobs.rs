//! Probabilities of tokens: from both of OpenAI's forms into Ollama's.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{Kind, Members, Text};

use crate::write::{Object, push_text};

/// Those of a chat.
#[derive(Deserialize)]
struct OfChat<'a> {
    #[serde(borrow)]
    content: Option<Vec<Token<'a>>>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    logprob: &'a RawValue,
    #[serde(borrow)]
    bytes: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Self>>,
}

/// Those of a completion.
#[derive(Deserialize)]
struct OfCompletion<'a> {
    #[serde(borrow)]
    tokens: Vec<Text<'a>>,
    /// The first token of a prompt has none.
    #[serde(borrow)]
    token_logprobs: Vec<Option<&'a RawValue>>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Option<Members<'a>>>>,
}

/// The elements of Ollama's list, with commas between them; "" if there are none.
pub fn of_chat(raw: &RawValue) -> String {
    let mut out = String::new();
    let found: Option<OfChat<'_>> = serde_json::from_str(raw.get()).ok();
    for token in found.and_then(|found| found.content).iter().flatten() {
        if !out.is_empty() {
            out.push(',');
        }
        push(&mut out, token);
    }
    out
}

fn push(out: &mut String, token: &Token<'_>) {
    let mut entry = begun(&token.token.0, token.logprob);
    let is_list = |raw: &&RawValue| Kind::of(raw) == Kind::Array;
    if let Some(bytes) = token.bytes.filter(is_list) {
        entry.compact("bytes", bytes.get());
    }
    let top = token.top_logprobs.as_deref().unwrap_or_default();
    if !top.is_empty() {
        let list = entry.member("top_logprobs");
        for (at, token) in top.iter().enumerate() {
            list.push(if at == 0 { '[' } else { ',' });
            push(list, token);
        }
        list.push(']');
    }
    out.push_str(&entry.end());
}

/// As [`of_chat`].
pub fn of_completion(raw: &RawValue) -> String {
    let mut out = String::new();
    let Ok(found) = serde_json::from_str::<OfCompletion<'_>>(raw.get()) else {
        return out;
    };
    let top = found.top_logprobs.unwrap_or_default();
    for (at, (Text(token), logprob)) in found.tokens.iter().zip(&found.token_logprobs).enumerate() {
        let Some(logprob) = logprob else {
            continue;
        };
        if !out.is_empty() {
            out.push(',');
        }
        let mut entry = with_bytes(token, logprob);
        if let Some(Some(Members(likely))) = top.get(at)
            && !likely.is_empty()
        {
            let list = entry.member("top_logprobs");
            for (at, (token, logprob)) in likely.iter().enumerate() {
                list.push(if at == 0 { '[' } else { ',' });
                list.push_str(&with_bytes(token, logprob).end());
            }
            list.push(']');
        }
        out.push_str(&entry.end());
    }
    out
}

fn begun(token: &str, logprob: &RawValue) -> Object {
    let mut entry = Object::new(128);
    push_text(entry.member("token"), token);
    entry.raw("logprob", logprob.get());
    entry
}

fn with_bytes(token: &str, logprob: &RawValue) -> Object {
    let mut entry = begun(token, logprob);
    let bytes: Vec<String> = token.bytes().map(|byte| byte.to_string()).collect();
    entry.raw("bytes", &format!("[{}]", bytes.join(",")));
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_become_ollamas() {
        let chat = r#"{"content":[{"token":"a","logprob":-0.10,"bytes":[ 97 ],"top_logprobs":[{"token":"b","logprob":-2,"bytes":null}]},
            {"token":"é","logprob":-1,"bytes":null,"top_logprobs":[]}],"refusal":null}"#;
        assert_eq!(
            of_chat(serde_json::from_str(chat).expect("JSON")),
            r#"{"token":"a","logprob":-0.10,"bytes":[97],"top_logprobs":[{"token":"b","logprob":-2}]},{"token":"é","logprob":-1}"#
        );
        let completion = r#"{"tokens":["x","a","é"],"token_logprobs":[null,-0.1,-1],"text_offset":[0,1,2],
            "top_logprobs":[null,{"a":-0.1,"b":-2},null]}"#;
        assert_eq!(
            of_completion(serde_json::from_str(completion).expect("JSON")),
            concat!(
                r#"{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.1,"bytes":[97]},"#,
                r#"{"token":"b","logprob":-2,"bytes":[98]}]},{"token":"é","logprob":-1,"bytes":[195,169]}"#
            )
        );
        for other in ["null", "{}", "[]", "3", r#"{"content":null}"#] {
            let raw: &RawValue = serde_json::from_str(other).expect("JSON");
            assert_eq!(
                (of_chat(raw), of_completion(raw)),
                (String::new(), String::new())
            );
        }
    }
}
