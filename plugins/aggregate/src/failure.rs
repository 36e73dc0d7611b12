//! Errors that a stream reports, and errors of the stream itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// A longer text is a page or a dump, not a message for a person.
const MESSAGE_BYTES: usize = 1000;

#[derive(Deserialize)]
struct Error<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    http_status_code: Option<&'a RawValue>,
}

/// The value of a member `error`: an object as OpenAI's, vLLM's (`code` is a status) or TGI's (`http_status_code`), or a
/// text.
pub(crate) fn of_error(error: &RawValue) -> Fault {
    if Kind::of(error) == Kind::Object {
        return of_event(error.get());
    }
    let message = json::text(error).unwrap_or_default();
    Fault::upstream("upstream_error", described(&message))
}

/// An object that is an error itself.
pub(crate) fn of_event(object: &str) -> Fault {
    let Ok(error) = serde_json::from_str::<Error<'_>>(object) else {
        return nonsense();
    };
    let text = |raw: Option<&'_ RawValue>| raw.and_then(|raw| json::text(raw).map(Cow::into_owned));
    let number = |raw: Option<&'_ RawValue>| raw.and_then(|raw| raw.get().parse::<u16>().ok());
    let kind = text(error.r#type);
    let status = number(error.code)
        .or_else(|| number(error.http_status_code))
        .filter(|status| (400..=599).contains(status))
        .unwrap_or(match kind.as_deref() {
            Some("invalid_request_error") => 400,
            Some("rate_limit_error" | "requests" | "tokens") => 429,
            Some(_) | None => 502,
        });
    let code = text(error.code).filter(|code| !code.is_empty());
    let code = code.unwrap_or_else(|| "upstream_error".to_owned());
    let message = described(&text(error.message).unwrap_or_default());
    let fault = Fault::new(status, code, message);
    match text(error.param) {
        Some(param) => fault.param(param),
        None => fault,
    }
}

/// An event that is not a chunk.
pub(crate) fn nonsense() -> Fault {
    Fault::upstream(
        "upstream_invalid",
        "The model server's stream contains an event that is not a chunk.",
    )
}

/// A stream that ended too early.
pub(crate) fn truncated() -> Fault {
    Fault::upstream(
        "upstream_truncated",
        "The model server ended its response before it was complete.",
    )
}

/// A response over the limit.
pub(crate) fn too_large() -> Fault {
    Fault::upstream(
        "response_too_large",
        "The response is too large to be sent as a whole. Ask for a stream, or for a shorter response.",
    )
}

fn described(message: &str) -> String {
    let message = message.trim();
    if message.is_empty() {
        return "The model server reported an error without a message.".to_owned();
    }
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}
