//! Counting the tokens of a chat that is not asked: `POST /v1/chat/completions/input_tokens`, with the body of a chat.
//!
//! The response is `{"input_tokens": 42}`. Where the server cannot count, or does not know the path, it is an estimate, and says
//! so by the header field `x-sluicegate-estimate: true`.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind, Members};
use sluicegate_plugin::{Fault, Reply};

use crate::failure;
use crate::request::{Body, elements};

/// The path behind `/v1/`.
pub const PATH: &str = "chat/completions/input_tokens";

/// What says that the number is an estimate.
pub(crate) const ESTIMATE: &str = "x-sluicegate-estimate";

/// Tokens around the text of a message: its role, and where it begins and ends.
const OF_MESSAGE: u64 = 4;

/// Tokens of a picture or a recording. Arbitrary: models differ, and few read more than a thousand from one.
const OF_MEDIA: u64 = 256;

/// How a model server counts.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Where it is asked.
    pub path: &'static str,
    /// The members of a chat that it takes.
    pub members: &'static [&'static str],
    /// The member of its response that tells the number.
    pub member: &'static str,
    /// Reads the number from this member; `None` if it has none.
    pub count: fn(&RawValue) -> Option<u64>,
}

impl Counter {
    /// Leaves in a chat what the server takes.
    pub(crate) fn only(&self, body: &mut Body<'_>) {
        let names: Vec<String> = body.names().map(str::to_owned).collect();
        for name in names {
            if !self.members.contains(&&*name) {
                body.remove(&name);
            }
        }
    }

    /// The response of the server's.
    ///
    /// # Errors
    /// 502 `upstream_invalid` if it has no number.
    pub(crate) fn response(&self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let Members(members) = serde_json::from_slice(body).map_err(|_| failure::nonsense())?;
        let found = members.iter().find(|(name, _)| name == self.member);
        let tokens = found.and_then(|(_, raw)| (self.count)(raw));
        Ok(document(tokens.ok_or_else(failure::nonsense)?).into_bytes())
    }
}

/// The messages of a chat, checked.
///
/// # Errors
/// 400 if there are none.
fn messages<'a>(body: &Body<'a>) -> Result<Vec<&'a RawValue>, Fault> {
    let Some(raw) = body.get("messages") else {
        return Err(
            Fault::bad_request("Missing required parameter: `messages`.")
                .code("missing_required_parameter")
                .param("messages"),
        );
    };
    let messages = elements("messages", raw)?;
    if messages.is_empty() {
        let message = "`messages` must be an array of at least one message.";
        return Err(Fault::bad_request(message).param("messages"));
    }
    Ok(messages)
}

/// The response with an estimate.
///
/// # Errors
/// 400 if the body is not a chat.
pub fn estimate(body: &[u8]) -> Result<Reply, Fault> {
    let tokens = estimated(&Body::read(body)?)?;
    Ok(Reply::new(200, "tokens.estimate")
        .json(document(tokens))
        .field(ESTIMATE, "true"))
}

/// An estimate.
///
/// Of a text, four ASCII characters count as a token, and every other character as one. Each message, picture and recording
/// has a fixed number beside its texts; tools and calls count with their JSON.
///
/// # Errors
/// 400 if the body is not a chat.
pub(crate) fn estimated(body: &Body<'_>) -> Result<u64, Fault> {
    let messages = messages(body)?;
    let tools = [body.get("tools"), body.get("functions")];
    let tools = tools.into_iter().flatten().map(|raw| of_text(raw.get()));
    let messages = messages.into_iter().map(of_message);
    Ok(messages.chain(tools).fold(0, u64::saturating_add))
}

/// The response with a number.
pub(crate) fn document(tokens: u64) -> String {
    format!("{{\"input_tokens\":{tokens}}}")
}

fn of_message(raw: &RawValue) -> u64 {
    let Ok(Members(members)) = serde_json::from_str(raw.get()) else {
        return OF_MESSAGE + of_text(raw.get());
    };
    let members = members.into_iter().map(|(name, raw)| match &*name {
        "role" => 0,
        "content" => of_content(raw),
        _ => of_json(raw),
    });
    members.fold(OF_MESSAGE, u64::saturating_add)
}

fn of_content(raw: &RawValue) -> u64 {
    let Ok(parts) = serde_json::from_str::<Vec<Members<'_>>>(raw.get()) else {
        return of_json(raw);
    };
    let parts = parts.into_iter().map(|Members(members)| {
        let find = |wanted: &str| members.iter().find(|(name, _)| name == wanted);
        match find("text").or_else(|| find("refusal")) {
            Some((_, text)) => of_json(text),
            None => OF_MEDIA,
        }
    });
    parts.fold(0, u64::saturating_add)
}

/// Of a value: a string's text, everything else as its JSON, nothing for `null`.
fn of_json(raw: &RawValue) -> u64 {
    match Kind::of(raw) {
        Kind::Null => 0,
        Kind::String => of_text(&json::text(raw).unwrap_or(Cow::Borrowed(raw.get()))),
        Kind::Bool | Kind::Number | Kind::Array | Kind::Object => of_text(raw.get()),
    }
}

fn of_text(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    (ascii.div_ceil(4) + others) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> u64 {
        let reply = estimate(body.as_bytes()).expect("a chat");
        assert_eq!(reply.status, 200);
        let says = |name: &str| reply.fields.iter().any(|field| field.name == name);
        assert!(says(ESTIMATE) && says("content-type"));
        let text = String::from_utf8(reply.body).expect("text");
        let number = text.strip_prefix("{\"input_tokens\":");
        let number = number.and_then(|rest| rest.strip_suffix('}'));
        number.expect("the number").parse().expect("a number")
    }

    #[test]
    fn an_estimate_is_of_texts_messages_media_and_tools() {
        for (body, expected) in [
            (r#"{"messages":[{"role":"user","content":""}]}"#, 4),
            (r#"{"messages":[{"role":"user","content":"Hello"}]}"#, 4 + 2),
            (
                r#"{"messages":[{"role":"user","content":"\u4f60好!"}]}"#,
                4 + 3,
            ),
            (
                r#"{"messages":[{"content":"abcd"},{"content":null}]}"#,
                4 + 1 + 4,
            ),
            (
                r#"{"messages":[{"content":[{"type":"text","text":"abcde"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAAAAAA"}}]}]}"#,
                4 + 2 + 256,
            ),
            (
                r#"{"messages":[{"content":null,"tool_calls":[{"a":"b"}]}]}"#,
                4 + 3,
            ),
            (
                r#"{"messages":[{"content":"a"}],"tools":[{"a":1}],"model":"m"}"#,
                4 + 1 + 3,
            ),
            (r#"{"messages":[3]}"#, 4 + 1),
        ] {
            assert_eq!(told(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_chat_is_refused() {
        for (body, code) in [
            ("", "invalid_json"),
            ("{}", "missing_required_parameter"),
            (r#"{"messages":"x"}"#, "invalid_type"),
            (r#"{"messages":[]}"#, "invalid_value"),
        ] {
            let fault = estimate(body.as_bytes()).expect_err("refused");
            assert_eq!((fault.status, &*fault.code), (400, code), "{body}");
        }
    }
}
