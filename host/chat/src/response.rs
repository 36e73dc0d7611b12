//! Responses of the web gateway, and the bodies of its requests.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::wire::rest::Failed;
use super::wire::{Code, ErrorBody};

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body that broke off before its end.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off")]
pub(crate) struct Broken;

/// A whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(
        Empty::new()
            .map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    response
}

/// A response in plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", text.into())
}

/// A response with a media type, never cached.
pub(crate) fn typed(
    status: StatusCode,
    kind: &'static str,
    content: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(content));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON response.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    typed(status, "application/json", super::wire::text(value))
}

/// An error.
pub(crate) fn error(error: &ErrorBody) -> Response<Body> {
    let status =
        StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(
        status,
        &Failed {
            error: error.clone(),
        },
    );
    if let Some(ms) = error.retry_after_ms {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// `TOO_LARGE`, or `BAD_FRAME` if the body breaks off or takes too long.
#[expect(clippy::disallowed_methods, reason = "it is limited")]
pub(crate) async fn read(body: Incoming, most: usize) -> Result<Bytes, ErrorBody> {
    let limited = http_body_util::Limited::new(body, most);
    match tokio::time::timeout(Duration::from_secs(60), limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let details = serde_json::json!({ "limit": most });
            Err(ErrorBody::new(Code::TooLarge, "the body is too large").details(details))
        }
        Ok(Err(_)) => Err(ErrorBody::new(Code::BadFrame, "the body broke off")),
        Err(_) => Err(ErrorBody::new(Code::BadFrame, "the body took too long")),
    }
}
