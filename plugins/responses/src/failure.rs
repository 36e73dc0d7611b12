//! Errors in the form of the Responses API.
//!
//! A response with an error is in OpenAI's form already; only a parameter that has another name here is renamed. In mid-stream
//! an error is the event `response.failed`; before the first event it is the event `error`.

use std::borrow::Cow;

use sluicegate_plugin::chat::Failure;
use sluicegate_plugin::json::{Text, push_str};
use sluicegate_plugin::{Event, Fault};

/// 502 `upstream_invalid`.
pub(crate) fn invalid(message: &str) -> Fault {
    Fault::upstream("upstream_invalid", message)
}

/// A response, or an event, that is not one of the chat API.
pub(crate) fn nonsense() -> Fault {
    invalid("The response is not one of OpenAI's API.")
}

/// A stream that ended too early.
pub(crate) fn truncated() -> Fault {
    Fault::upstream(
        "upstream_truncated",
        "The model server ended its response before it was complete.",
    )
}

/// The error that an event of a stream reports, with the status of the response that began well.
pub(crate) fn of_event(failure: &Failure<'_>) -> Fault {
    let status = match &*failure.kind {
        "invalid_request_error" => 400,
        "rate_limit_error" => 429,
        _ => 502,
    };
    Fault::new(status, code(failure), &*failure.message)
}

/// The body of an error response, `None` if it stays as it is.
///
/// # Errors
/// The error in OpenAI's form, if the body is in another one.
pub(crate) fn body(status: u16, body: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let Some(failure) = Failure::read(text) else {
        let message = format!("The request failed with status {status}.");
        return Err(Fault::new(status, "upstream_error", message));
    };
    let Some(param) = failure
        .param
        .as_ref()
        .and_then(|Text(param)| renamed(param))
    else {
        return Ok(None);
    };
    let mut out = String::with_capacity(text.len() + 32);
    out.push('{');
    push_error(&mut out, &failure, Some(&param));
    out.push('}');
    Ok(Some(out.into_bytes()))
}

/// The error as the first event of a stream, and as the body of a response: nobody knows yet which of the two it becomes.
pub(crate) fn event(status: u16, error: &str) -> Event {
    let failure = read(error);
    let param = failure.param.as_ref();
    let param = param.map(|Text(param)| renamed(param).unwrap_or(Cow::Borrowed(&**param)));
    let mut data = "{\"type\":\"error\",\"sequence_number\":0,\"code\":".to_owned();
    push_str(&mut data, &code(&failure));
    data.push_str(",\"message\":");
    push_str(&mut data, &message(status, &failure));
    data.push_str(",\"param\":");
    push_or_null(&mut data, param.as_deref());
    data.push(',');
    push_error(&mut data, &failure, param.as_deref());
    data.push('}');
    Event {
        name: "error".to_owned(),
        ..Event::data(data)
    }
}

/// Appends the error of a response that failed in mid-stream: an object of code and message.
pub(crate) fn push_failed(out: &mut String, status: u16, error: &str) {
    let failure = read(error);
    out.push_str("{\"code\":");
    push_str(out, &code(&failure));
    out.push_str(",\"message\":");
    push_str(out, &message(status, &failure));
    out.push('}');
}

fn read(error: &str) -> Failure<'_> {
    Failure::read(error).unwrap_or(Failure {
        message: Cow::Borrowed(""),
        kind: Cow::Borrowed(""),
        code: Cow::Borrowed(""),
        param: None,
    })
}

/// OpenAI's word for all that has none of its own is `server_error`.
fn code<'a>(failure: &'a Failure<'_>) -> Cow<'a, str> {
    Cow::Borrowed(if failure.code.is_empty() {
        "server_error"
    } else {
        &failure.code
    })
}

fn message<'a>(status: u16, failure: &'a Failure<'_>) -> Cow<'a, str> {
    if failure.message.is_empty() {
        Cow::Owned(format!("The request failed with status {status}."))
    } else {
        Cow::Borrowed(&failure.message)
    }
}

/// Appends the member `error` in OpenAI's form.
fn push_error(out: &mut String, failure: &Failure<'_>, param: Option<&str>) {
    out.push_str("\"error\":{\"message\":");
    push_str(out, &failure.message);
    out.push_str(",\"type\":");
    push_str(out, &failure.kind);
    out.push_str(",\"param\":");
    push_or_null(out, param);
    out.push_str(",\"code\":");
    push_or_null(out, Some(&*failure.code).filter(|code| !code.is_empty()));
    out.push('}');
}

fn push_or_null(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_str(out, text),
        None => out.push_str("null"),
    }
}

/// The name that a parameter of the chat API has here; `None` if it is the same.
fn renamed(param: &str) -> Option<Cow<'static, str>> {
    let name = param.split(['.', '[']).next().unwrap_or_default();
    Some(Cow::Borrowed(match name {
        "messages" => "input",
        "max_completion_tokens" | "max_tokens" => "max_output_tokens",
        "response_format" => "text.format",
        "reasoning_effort" => "reasoning.effort",
        "verbosity" => "text.verbosity",
        "logprobs" => "include",
        "tools" => return has_function(param).map(Cow::Owned),
        _ => return None,
    }))
}

/// In the chat API the members of a function are one level deeper.
fn has_function(param: &str) -> Option<String> {
    let (tool, member) = param.split_once(".function")?;
    Some([tool, member].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_parameter_has_the_name_that_the_client_knows() {
        for (chat, here) in [
            ("messages[3].content", "input"),
            ("max_completion_tokens", "max_output_tokens"),
            ("response_format.json_schema", "text.format"),
            ("reasoning_effort", "reasoning.effort"),
            ("verbosity", "text.verbosity"),
            ("logprobs", "include"),
            ("tools[2].function.name", "tools[2].name"),
        ] {
            let error = json!({"error": {"message": "No.", "type": "invalid_request_error", "param": chat, "code": null}});
            let changed = body(400, error.to_string().as_bytes())
                .expect("an error")
                .expect("a change");
            let changed: Value = serde_json::from_slice(&changed).expect("JSON");
            assert_eq!(
                changed,
                json!({"error": {"message": "No.", "type": "invalid_request_error", "param": here, "code": null}})
            );
        }
        for same in [
            json!(null),
            json!("temperature"),
            json!("tools[0]"),
            json!("model"),
        ] {
            let error = json!({"error": {"message": "No.", "param": same}}).to_string();
            assert_eq!(body(400, error.as_bytes()), Ok(None), "{error}");
        }
    }

    #[test]
    fn a_page_becomes_an_error() {
        for page in ["<html>", "", "{\"detail\":\"x\"}"] {
            let fault = body(418, page.as_bytes()).expect_err("a fault");
            assert_eq!((fault.status, &*fault.code), (418, "upstream_error"));
        }
    }

    #[test]
    fn the_first_event_is_also_a_body() {
        let error = json!({"error": {"message": "Full.", "type": "server_error", "param": "max_tokens", "code": "overloaded"}});
        let event = event(503, &error.to_string());
        assert_eq!(event.name, "error");
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(
            data,
            json!({"type": "error", "sequence_number": 0, "code": "overloaded", "message": "Full.", "param": "max_output_tokens",
                "error": {"message": "Full.", "type": "server_error", "param": "max_output_tokens", "code": "overloaded"}})
        );
    }

    #[test]
    fn an_error_without_words_still_says_something() {
        let mut out = String::new();
        push_failed(&mut out, 502, "nonsense");
        let error: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            error,
            json!({"code": "server_error", "message": "The request failed with status 502."})
        );
    }
}
