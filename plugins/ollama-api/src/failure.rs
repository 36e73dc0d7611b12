//! Errors: a canonical one as Ollama writes it, `{"error":"…"}`.

use serde::Deserialize;
use sluicegate_plugin::chat::Failure;
use sluicegate_plugin::json::Text;

use crate::write::Object;

/// An error that is a text already, as from an Ollama without an adapter.
#[derive(Deserialize)]
struct OfOllama<'a> {
    #[serde(borrow)]
    error: Text<'a>,
}

/// The error of a response with this status. `model` is the model as the client calls it, or "".
pub fn write(body: &[u8], status: u16, model: &str) -> String {
    let body = String::from_utf8_lossy(body);
    let mut out = Object::new(body.len());
    match Failure::read(&body) {
        Some(failure)
            if status == 404 && failure.code == "model_not_found" && !model.is_empty() =>
        {
            // Clients look for these words to offer a download.
            out.text("error", &format!("model '{model}' not found"));
        }
        Some(failure) if !failure.message.is_empty() => out.text("error", &failure.message),
        Some(_) | None => match serde_json::from_str(&body) {
            Ok(OfOllama { error: Text(text) }) if !text.is_empty() => out.text("error", &text),
            Ok(_) | Err(_) => out.text(
                "error",
                &format!("The request failed with status {status}."),
            ),
        },
    }
    out.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_becomes_one_text() {
        let canonical = |code: &str| {
            format!(r#"{{"error":{{"message":"No.","type":"t","param":null,"code":"{code}"}}}}"#)
        };
        for (body, status, model, expected) in [
            (canonical("x"), 400, "m", "No."),
            (
                canonical("model_not_found"),
                404,
                "m:latest",
                "model 'm:latest' not found",
            ),
            (canonical("model_not_found"), 404, "", "No."),
            (canonical("model_not_found"), 502, "m", "No."),
            (canonical("not_found"), 404, "m", "No."),
            (
                r#"{"error":"a \"text\""}"#.to_owned(),
                500,
                "",
                "a \"text\"",
            ),
            (
                r#"{"error":{}}"#.to_owned(),
                500,
                "",
                "The request failed with status 500.",
            ),
            (
                "<html>".to_owned(),
                502,
                "m",
                "The request failed with status 502.",
            ),
            (
                String::new(),
                403,
                "m",
                "The request failed with status 403.",
            ),
        ] {
            let written = write(body.as_bytes(), status, model);
            let value: serde_json::Value = serde_json::from_str(&written).expect("JSON");
            assert_eq!(value, serde_json::json!({"error": expected}));
        }
    }
}
