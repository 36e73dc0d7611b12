//! Small requests of the gateway itself to a model server, with small responses.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{Method, Request, StatusCode};

use super::body::Body;
use super::client;
use super::error::{self, describe};
use super::target::Target;

/// The largest response that is read to its end, in bytes: room for a hundred models in memory.
const LARGEST: usize = 64 * 1024;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("`{path}` is not a path")]
    Path { path: String, source: InvalidUri },
    #[error("{}", describe(.0))]
    Unreachable(#[from] error::Error),
}

/// The server to ask, and how to reach it.
pub(super) struct Sender<'a> {
    /// The model server.
    pub(super) target: &'a Arc<Target>,
    /// How long a connection may take.
    pub(super) connect: Duration,
    /// The `authorization` for it.
    pub(super) key: Option<&'a HeaderValue>,
}

/// A question.
pub(super) struct Question<'a> {
    /// A path without the target's base.
    pub(super) path: &'a str,
    /// A JSON document, which makes it a POST.
    pub(super) json: Option<String>,
}

/// Status and body of the response; the body is empty if it is larger than [`LARGEST`].
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(super) async fn ask(
    sender: &Sender<'_>,
    question: Question<'_>,
) -> Result<(StatusCode, Bytes), Error> {
    let Sender {
        target,
        connect,
        key,
    } = sender;
    let Question { path, json } = question;
    let mut request = Request::new(Body::Full(None));
    *request.uri_mut() =
        format!("{}{path}", target.base)
            .parse()
            .map_err(|source| Error::Path {
                path: path.to_owned(),
                source,
            })?;
    let fields = request.headers_mut();
    fields.insert(header::HOST, target.authority.clone());
    fields.insert(
        header::USER_AGENT,
        HeaderValue::from_static("sluicegate-health"),
    );
    if let Some(key) = key {
        fields.insert(header::AUTHORIZATION, (*key).clone());
    }
    if let Some(json) = json {
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        *request.method_mut() = Method::POST;
        *request.body_mut() = Body::full(json.into());
    }
    let mut response = client::send(target, *connect, request)
        .await
        .map_err(|error| error.error)?;
    let mut body = BytesMut::new();
    // Read to the end, so that the connection can be reused; one that sends too much is closed instead.
    loop {
        let chunk = response.body.next(LARGEST).await?;
        if body.len() + chunk.bytes.len() > LARGEST {
            return Ok((response.head.status, Bytes::new()));
        }
        body.extend_from_slice(&chunk.bytes);
        if chunk.last {
            return Ok((response.head.status, body.freeze()));
        }
    }
}
