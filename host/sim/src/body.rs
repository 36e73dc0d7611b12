//! Bodies and responses of every simulated server.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};

/// The body of every response.
pub(super) type Body = UnsyncBoxBody<Bytes, Error>;

/// A response, or the end of the connection without one.
pub(super) type Reply = Result<Response<Body>, Error>;

/// The largest request body. It is above the gateway's limit, so that the gateway's limit applies.
const MAX_BODY: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Breaks the connection, on request.
    #[error("the connection breaks, as the message asked")]
    Reset,
}

/// Why a request body could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    TooLarge,
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// The body of a request.
///
/// # Errors
/// It is too large, or does not come to its end.
#[expect(clippy::disallowed_methods, reason = "it is limited")]
pub(super) async fn read(request: Request<Incoming>) -> Result<Bytes, Unread> {
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
        Err(error) => Err(Unread::Broken(error)),
    }
}

/// A complete body.
pub(super) fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(super) fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(""));
    *response.status_mut() = status;
    response
}

/// The page of a reverse proxy in front of a model server.
pub(super) fn html() -> Response<Body> {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>\n";
    response(StatusCode::BAD_GATEWAY, "text/html", whole(page))
}

/// The same head, with the length of the omitted body.
pub(super) fn without_body(response: Response<Body>) -> Response<Body> {
    let length = hyper::body::Body::size_hint(response.body()).exact();
    let mut response = response.map(|_| whole(""));
    if let Some(length) = length {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
