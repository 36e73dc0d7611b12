//! Rules for heads: which requests are accepted, what is sent to the model server, and what the client gets.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::http::response;
use hyper::http::uri::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use sluicegate_contract::Context;
use sluicegate_contract::fields::{GUARDED, strip_hop_by_hop};
use sluicegate_contract::path::{self, Ambiguous};

use crate::failure::{Failure, Kind};
use sluicegate_config::Limits;
use sluicegate_framing::Framing;
use sluicegate_telemetry::request_id;
use sluicegate_upstream::{self as upstream, Target, Upstream};

/// The field that carries the request id in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The client's request id if it is well formed, `[A-Za-z0-9_-]{1,64}`; else a new one.
pub(super) fn request_id(fields: &HeaderMap) -> Arc<str> {
    let given = fields
        .get(REQUEST_ID)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    match std::str::from_utf8(given) {
        Ok(given) if request_id::is_valid(given.as_bytes()) => given.into(),
        Ok(_) | Err(_) => request_id::new().into(),
    }
}

/// Checks the gateway's own rules for a request head.
///
/// # Errors
/// [`Kind::HeadTooLarge`] or [`Kind::InvalidRequest`].
pub(super) fn check(parts: &request::Parts, limits: &Limits) -> Result<(), Failure> {
    let fields = &parts.headers;
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if fields.len() > limits.headers || bytes as u64 > limits.header_bytes {
        return Err(Failure::new(
            Kind::HeadTooLarge,
            format!(
                "At most {} header fields with {} bytes in all are accepted.",
                limits.headers, limits.header_bytes
            ),
        ));
    }
    check_host(parts)?;
    if !is_only(fields, &header::TRANSFER_ENCODING, b"chunked") {
        return Err(Failure::new(
            Kind::InvalidRequest,
            "The only transfer coding that is accepted is `chunked`.",
        ));
    }
    Ok(())
}

/// Whether a field has only this value, however often it appears.
fn is_only(fields: &HeaderMap, name: &HeaderName, value: &[u8]) -> bool {
    let mut values = fields.get_all(name).iter();
    values.all(|other| other.as_bytes().eq_ignore_ascii_case(value))
}

/// An HTTP/1.1 request has exactly one `Host`; others have at most one.
///
/// # Source
/// RFC 9112, section 3.2.
fn check_host(parts: &request::Parts) -> Result<(), Failure> {
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
        let message = "A request has exactly one `Host` field.";
        return Err(Failure::new(Kind::InvalidRequest, message));
    }
    Ok(())
}

/// Normalizes the path. Routes are matched with the result, and model servers get it.
///
/// # Errors
/// [`Kind::InvalidRequest`]; the path is as it was.
pub(super) fn normalize_path(uri: &mut Uri) -> Result<(), Failure> {
    let ambiguous = |error: Ambiguous| Failure::new(Kind::InvalidRequest, error.message());
    let Cow::Owned(mut path) = path::normalize(uri.path()).map_err(ambiguous)? else {
        return Ok(());
    };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = Parts::default();
    parts.path_and_query = path.parse().ok();
    *uri = Uri::from_parts(parts).map_err(|error| {
        Failure::new(Kind::InvalidRequest, "The path is not valid.").caused_by(error)
    })?;
    Ok(())
}

/// The request for the model server.
///
/// # Shape
/// The path and query as the stages left them, behind the target's base. The fields as the stages left them, without those that
/// concern only the client and the gateway, and with the upstream's key unless a stage or the adapter set one.
///
/// # Source
/// Ollama answers an empty 403 to a foreign `Host` or `Origin` (its `server/routes.go`, `allowedHostsMiddleware`).
pub(super) fn to_upstream(
    context: &Context,
    upstream: &Upstream,
    target: &Target,
    body: upstream::Body,
) -> Result<Request<upstream::Body>, upstream::Error> {
    let mut fields = fields_to_upstream(context);
    fields
        .entry(header::HOST)
        .or_insert_with(|| target.authority.clone());
    if let Some(key) = &upstream.key {
        fields.entry(header::AUTHORIZATION).or_insert(key.clone());
    }
    fields.insert(REQUEST_ID, visible(&context.identity.id));

    let question = if context.query.is_empty() { "" } else { "?" };
    let uri = Uri::try_from(format!(
        "{}{}{question}{}",
        target.base, context.path, context.query
    ))
    .map_err(|source| upstream::Error::Request {
        target: target.label.to_string(),
        source: source.into(),
    })?;
    let mut request = Request::new(body);
    *request.method_mut() = context.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    Ok(request)
}

/// Adds to what proxies say of the client where the gateway has the request from. What is there already is passed on, as by any
/// proxy: whether to believe it is up to the receiver, who knows by the last address whom it has it from.
pub(super) fn add_hop(fields: &mut HeaderMap, peer: IpAddr) {
    append(fields, FORWARDED_FOR, &peer.to_string());
    if fields.contains_key(header::FORWARDED) {
        let node = match peer {
            IpAddr::V4(address) => format!("for={address}"),
            IpAddr::V6(address) => format!("for=\"[{address}]\""),
        };
        append(fields, header::FORWARDED, &node);
    }
}

/// Puts an element at the end of a list, which becomes one line.
fn append(fields: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut list = String::new();
    for line in fields.get_all(&name) {
        if let Ok(line) = line.to_str() {
            list.push_str(line);
            list.push_str(", ");
        }
    }
    list.push_str(element);
    fields.insert(name, visible(&list));
}

/// The fields for the model server as the stages left them, without those that concern only the client and the gateway.
pub(super) fn fields_to_upstream(context: &Context) -> HeaderMap {
    let mut fields = context.request.clone();
    for name in [
        header::ORIGIN,
        header::REFERER,
        header::COOKIE,
        header::ACCEPT_ENCODING,
    ] {
        fields.remove(name);
    }
    for name in &GUARDED {
        if !context.set_by_stage.has(name) {
            fields.remove(name);
        }
    }
    fields
}

/// A value of visible characters, such as an address or a checked request id.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Takes the model server's head into the context.
pub(super) fn from_upstream(context: &mut Context, head: response::Parts) {
    context.status = Some(head.status);
    context.response = head.headers;
    strip_hop_by_hop(&mut context.response);
    strip_cors(&mut context.response);
}

/// The model server must not decide which pages may read a response: it does not know who may use the gateway.
fn strip_cors(fields: &mut HeaderMap) {
    let is_cors = |name: &HeaderName| name.as_str().starts_with("access-control-");
    if fields.keys().any(is_cors) {
        let names: Vec<_> = fields
            .keys()
            .filter(|name| is_cors(name))
            .cloned()
            .collect();
        for name in names {
            fields.remove(name);
        }
    }
}

/// The head for the client as the stages have left it.
pub(super) fn to_client(context: &mut Context, fields: HeaderMap) -> response::Parts {
    let status = context.status.unwrap_or(StatusCode::OK);
    parts(context, status, fields)
}

/// The head of a stream that begins before there is a response.
pub(super) fn early(context: &mut Context) -> response::Parts {
    let mut fields = HeaderMap::new();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    parts(context, StatusCode::OK, fields)
}

fn parts(context: &mut Context, status: StatusCode, fields: HeaderMap) -> response::Parts {
    let mut parts = left_by_stages(context, status, fields);
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    if Framing::of_content_type(content_type.map(HeaderValue::as_bytes)) != Framing::Document {
        // A proxy in front must not buffer a stream; nginx has to be told so.
        for (name, value) in [(header::CACHE_CONTROL, "no-cache"), (ACCEL_BUFFERING, "no")] {
            parts
                .headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
    }
    parts
        .headers
        .insert(REQUEST_ID, visible(&context.identity.id));
    parts
}

/// A head without the fields that the gateway adds.
pub(super) fn left_by_stages(
    context: &mut Context,
    status: StatusCode,
    fields: HeaderMap,
) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = fields;
    // `extend` would add to a field of the same name.
    for (name, value) in context.response_fields.drain() {
        if let Some(name) = name {
            parts.headers.insert(name, value);
        }
    }
    parts
}

/// Whether the client waits for a go-ahead before it sends its body (RFC 9110, section 10.1.1).
pub(super) fn expects_continue(fields: &HeaderMap) -> bool {
    fields
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The method for the stages and the model server: HEAD becomes GET, and the gateway's own server leaves the body out.
pub(super) fn method(request: &Request<Incoming>) -> Method {
    if request.method() == Method::HEAD {
        Method::GET
    } else {
        request.method().clone()
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(id: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(REQUEST_ID, HeaderValue::from_str(id).expect("legal"));
        fields
    }

    #[test]
    fn a_well_formed_request_id_is_kept_and_another_replaced() {
        assert_eq!(&*request_id(&fields("req_abc-123_X")), "req_abc-123_X");
        for bad in ["", "a b", "x/y", "ü", &"a".repeat(65)] {
            let id = request_id(&fields(bad));
            assert!(
                id.starts_with("req_") && id.len() == 20,
                "{bad:?} gave {id}"
            );
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn the_peer_is_added_to_what_proxies_say_of_the_client() {
        let after = |lines: &[(&'static str, &'static str)], peer: &str| {
            let mut fields = HeaderMap::new();
            for (name, value) in lines {
                fields.append(*name, HeaderValue::from_static(value));
            }
            add_hop(&mut fields, peer.parse().expect("an address"));
            let all = |name: HeaderName| {
                let lines = fields.get_all(name).into_iter();
                let lines = lines.filter_map(|line| line.to_str().ok());
                lines.collect::<Vec<_>>().join(" | ")
            };
            (all(FORWARDED_FOR), all(header::FORWARDED))
        };
        let of = |list: &str, standard: &str| (list.to_owned(), standard.to_owned());
        assert_eq!(after(&[], "192.0.2.1"), of("192.0.2.1", ""));
        assert_eq!(
            after(
                &[
                    ("x-forwarded-for", "192.0.2.7, 192.0.2.8"),
                    ("x-forwarded-for", "192.0.2.9"),
                ],
                "2001:db8::1",
            ),
            of("192.0.2.7, 192.0.2.8, 192.0.2.9, 2001:db8::1", "")
        );
        assert_eq!(
            after(&[("forwarded", "for=192.0.2.7;proto=https")], "192.0.2.1"),
            of("192.0.2.1", "for=192.0.2.7;proto=https, for=192.0.2.1")
        );
        assert_eq!(
            after(&[("forwarded", "for=_hidden")], "2001:db8::1"),
            of("2001:db8::1", "for=_hidden, for=\"[2001:db8::1]\"")
        );
    }

    #[test]
    fn a_path_is_respelled_and_its_query_kept() {
        for (uri, respelled) in [
            ("/v1/models", "/v1/models"),
            ("/raw/%61//b?x=%61&y", "/raw/a/b?x=%61&y"),
            ("http://host/%61?", "/a?"),
            ("/a//b", "/a/b"),
        ] {
            let mut uri = Uri::from_static(uri);
            normalize_path(&mut uri).expect("it has one spelling");
            assert_eq!(uri.to_string(), respelled);
        }
        let mut uri = Uri::from_static("/a/%2e%2e/b");
        let failure = normalize_path(&mut uri).expect_err("it has several");
        assert_eq!(
            (failure.status(), uri.path()),
            (StatusCode::BAD_REQUEST, "/a/%2e%2e/b")
        );
    }
}
