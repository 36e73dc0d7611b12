//! What a status alone says, whoever sent it: a model server without words, or a proxy before it. A `text` is the server's own,
//! or "".

use std::borrow::Cow;

use sluicegate_plugin::{Context, Fault, log, without_internals};

/// The code for a refusal of the gateway's own key.
pub const UNAUTHORIZED: &str = "upstream_unauthorized";

/// A longer text is a page or a dump, not a message for a person.
const MESSAGE_BYTES: usize = 1000;

/// The seconds after which a client may try again if a busy or unreachable server gives no number; arbitrary.
const RETRY_AFTER: &str = "2";

/// A redirect, which is never followed.
pub fn redirected() -> Fault {
    Fault::upstream(
        "upstream_configuration",
        "The model server responded with a redirect. Check the upstream's address in the gateway's configuration.",
    )
}

/// A refusal of the gateway's key. It is not about the client's: a 401 would mislead the client.
pub fn unauthorized() -> Fault {
    Fault::upstream(
        UNAUTHORIZED,
        "The model server, or a proxy before it, does not accept the gateway's own key. Check `key` of the upstream in the \
         gateway's configuration.",
    )
}

/// 413.
pub fn too_large(text: &str) -> Fault {
    let default = "The request is larger than the model server, or a proxy before it, accepts.";
    Fault::new(413, "body_too_large", or(text, default))
}

/// 429.
pub fn too_many(text: &str) -> Fault {
    let default = "The model server, or a proxy before it, has too many requests.";
    Fault::new(429, "rate_limit_exceeded", or(text, default))
}

/// A server that a proxy cannot reach; another one may do better.
pub fn unreachable() -> Fault {
    unavailable("A proxy before the model server cannot reach it at the moment.")
}

/// Whether a status says that a proxy cannot reach the server. Cloudflare uses 520 to 530 for that.
pub fn is_unreachable(status: u16) -> bool {
    matches!(status, 408 | 502..=504 | 520..=530)
}

/// A server that cannot serve; another one may do better.
pub fn unavailable(message: &str) -> Fault {
    Fault::new(503, "upstream_unavailable", message)
}

/// Another status from 400 to 499.
pub fn refused(text: &str) -> Fault {
    let default = "The model server, or a proxy before it, does not accept this request.";
    Fault::bad_request(or(text, default)).code("invalid_request")
}

/// An error of the server's.
pub fn failed(text: &str) -> Fault {
    let default = "The model server failed, and did not say why.";
    Fault::upstream("upstream_error", or(text, default))
}

/// A response that ended too early.
pub fn truncated() -> Fault {
    Fault::upstream(
        "upstream_truncated",
        "The model server ended its response before it was complete.",
    )
}

fn or<'t>(text: &'t str, default: &'t str) -> &'t str {
    if text.is_empty() { default } else { text }
}

/// Makes a text for the client, who is not the operator.
pub fn clipped(text: &str) -> String {
    let text = text[..text.floor_char_boundary(MESSAGE_BYTES)].trim();
    match without_internals(text) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(without) => {
            log::warn("the client gets a shortened message of the model server")
                .field("said", text)
                .write();
            without
        }
    }
}

/// The fault, with the server's `retry-after` if a retry may help.
pub fn with_retry_after(ctx: &Context<'_>, fault: Fault) -> Fault {
    let hint = ctx.get("retry-after");
    let after = match fault.status {
        503 => Some(hint.unwrap_or_else(|| RETRY_AFTER.into())),
        413 | 429 => hint,
        _ => None,
    };
    match after {
        Some(after) => fault.field("retry-after", after),
        None => fault,
    }
}
