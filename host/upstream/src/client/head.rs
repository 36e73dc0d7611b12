//! Heads: writes a request's, and reads a response's.
//!
//! # Source
//! RFC 9112, sections 2 to 6 and 9.3.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::http::response::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::content::Content;
use super::error::Error;
use crate::body::Body;

/// The most bytes of a response head. Arbitrary; model servers send some hundred.
const HEAD_MAX: usize = 64 * 1024;
/// The most fields of a response head. Arbitrary as well.
const FIELDS_MAX: usize = 200;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sends {
    /// As it is: its length is announced, or it is empty.
    Plain,
    Chunked,
}

/// A request's head as bytes.
///
/// The fields go out as they are. Those of the framing are added here, and must not be among them.
pub(super) fn write(request: &request::Parts, body: &Body) -> (Bytes, Sends) {
    let fields = &request.headers;
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let target = request
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut out = BytesMut::with_capacity(size + target.len() + 80);
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let sends = match body.length() {
        // Methods that usually have a body announce an empty one.
        Some(0) if !matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            Sends::Plain
        }
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(length.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
            Sends::Plain
        }
        None => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Sends::Chunked
        }
    };
    out.extend_from_slice(b"\r\n");
    (out.freeze(), sends)
}

/// A response's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) content: Content,
    /// Whether the server lets the connection be used again after the body.
    pub(super) keep_alive: bool,
}

/// Takes the head of the response from the beginning of `buffer`, and interim ones (1xx) before it; `None` if it is not
/// complete yet.
///
/// # Errors
/// [`Error::Head`] if it is not a valid response head, or if the body's length cannot be determined.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Head>, Error> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let parsed = parser.parse_response_with_uninit_headers(&mut response, buffer, &mut fields);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() <= HEAD_MAX => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(Error::Head("it is too large")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Error::Head("it has too many fields"));
            }
            Err(_) => return Err(Error::Head("it is not HTTP/1")),
        };
        if length > HEAD_MAX {
            return Err(Error::Head("it is too large"));
        }
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(Error::Head("its status code is invalid"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Head("it switches protocols without being asked"));
        }
        if status.is_informational() {
            let _ = buffer.split_to(length);
            continue;
        }
        let version = match response.version {
            Some(0) => Version::HTTP_10,
            Some(_) | None => Version::HTTP_11,
        };
        let places: Vec<_> = response
            .headers
            .iter()
            .map(|field| {
                (
                    place(buffer, field.name.as_bytes()),
                    place(buffer, field.value),
                )
            })
            .collect();
        // A copy: fields live as long as the exchange, and the buffer is reused.
        let bytes = Bytes::copy_from_slice(&buffer.split_to(length));
        let fields = read_fields(&bytes, &places)?;
        let (content, keep_alive) = framing(status, version, &fields)?;
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = status;
        parts.version = version;
        parts.headers = fields;
        return Ok(Some(Head {
            parts,
            content,
            keep_alive,
        }));
    }
}

type Place = (usize, usize);

/// Where a part of the buffer is in it.
fn place(buffer: &[u8], part: &[u8]) -> Place {
    let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
    (start, start + part.len())
}

fn read_fields(bytes: &Bytes, places: &[(Place, Place)]) -> Result<HeaderMap, Error> {
    let mut fields = HeaderMap::with_capacity(places.len());
    for ((from, to), (start, end)) in places {
        let name = HeaderName::from_bytes(&bytes[*from..*to]);
        let value = HeaderValue::from_maybe_shared(bytes.slice(*start..*end));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Error::Head("it has an invalid header field"));
        };
        fields.append(name, value);
    }
    Ok(fields)
}

/// How the body is framed, and whether the connection can be used again.
fn framing(
    status: StatusCode,
    version: Version,
    fields: &HeaderMap,
) -> Result<(Content, bool), Error> {
    let keep_alive = match version {
        Version::HTTP_10 => has_token(fields, "keep-alive"),
        _ => !has_token(fields, "close"),
    };
    let mut codings = tokens(fields, &header::TRANSFER_ENCODING).peekable();
    let coded = codings.peek().is_some();
    let length = content_length(fields)?;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok((Content::Length(0), keep_alive && !coded));
    }
    if coded {
        let chunked = codings
            .next()
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if !chunked || codings.next().is_some() || version == Version::HTTP_10 {
            return Err(Error::Head(
                "it has a transfer coding that was not requested",
            ));
        }
        // A proxy on the way may have used the length: this connection is not reused.
        return Ok((Content::CHUNKED, keep_alive && length.is_none()));
    }
    Ok(match length {
        Some(length) => (Content::Length(length), keep_alive),
        None => (Content::ToEnd, false),
    })
}

/// The announced length. The same value several times counts as one (RFC 9110, section 8.6).
fn content_length(fields: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut found = None;
    for text in fields.get_all(header::CONTENT_LENGTH) {
        let text = text.to_str().unwrap_or_default();
        for text in text.split(',').map(str::trim) {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let length = text.parse().ok().filter(|_| digits);
            let length = length.ok_or(Error::Head("its content-length is not a number"))?;
            if *found.get_or_insert(length) != length {
                return Err(Error::Head("it has two different content-lengths"));
            }
        }
    }
    Ok(found)
}

fn has_token(fields: &HeaderMap, token: &str) -> bool {
    tokens(fields, &header::CONNECTION).any(|have| have.eq_ignore_ascii_case(token))
}

/// The members of a list field. A value that is not text counts as one unknown member.
fn tokens<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    fields
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
