//! What a request asks for, and the canonical path that has it.

use std::borrow::Cow;

use sluicegate_plugin::Fault;

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A message.
    #[default]
    Messages,
    /// The tokens of a request.
    Count,
    /// The list of models.
    Models,
    /// One model.
    Model,
}

impl Endpoint {
    /// The endpoint of a request, with its canonical path. What is before `/v1/` does not matter, so a route may have a prefix.
    ///
    /// # Errors
    /// 404 for what this front does not have, 405 for a wrong method.
    pub(crate) fn of(method: &str, path: &str) -> Result<(Self, Cow<'static, str>), Fault> {
        let rest = path
            .split_once("/v1/")
            .map_or("", |(_, rest)| rest.trim_end_matches('/'));
        let (endpoint, allowed, canonical) = match rest {
            "messages" => (Self::Messages, "POST", "/v1/chat/completions".into()),
            "messages/count_tokens" => {
                let path = "/v1/chat/completions/input_tokens";
                (Self::Count, "POST", path.into())
            }
            "models" => (Self::Models, "GET", "/v1/models".into()),
            _ => match rest.strip_prefix("models/") {
                Some(model) => (Self::Model, "GET", format!("/v1/models/{model}").into()),
                None => {
                    let message = "This gateway has no such endpoint. It has /v1/messages, /v1/messages/count_tokens and /v1/models.";
                    return Err(Fault::not_found("not_found", message));
                }
            },
        };
        if method != allowed {
            let message = format!("This endpoint takes only {allowed}.");
            return Err(Fault::new(405, "method_not_allowed", message).field("allow", allowed));
        }
        Ok((endpoint, canonical))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_canonical_or_refused() {
        for (method, path, expected) in [
            ("POST", "/v1/messages", Ok("/v1/chat/completions")),
            ("POST", "/claude/v1/messages", Ok("/v1/chat/completions")),
            (
                "POST",
                "/v1/messages/count_tokens",
                Ok("/v1/chat/completions/input_tokens"),
            ),
            ("GET", "/v1/models", Ok("/v1/models")),
            ("GET", "/v1/models/a%2Fb", Ok("/v1/models/a%2Fb")),
            ("GET", "/v1/models/org/m", Ok("/v1/models/org/m")),
            ("GET", "/v1/messages", Err(405)),
            ("POST", "/v1/models", Err(405)),
            ("POST", "/v1/messages/batches", Err(404)),
            ("POST", "/v1/complete", Err(404)),
            ("POST", "/messages", Err(404)),
        ] {
            let found = Endpoint::of(method, path);
            let found = found.map(|(_, path)| path.into_owned());
            let found = found.map_err(|fault| fault.status);
            assert_eq!(found, expected.map(str::to_owned), "{method} {path}");
        }
    }
}
