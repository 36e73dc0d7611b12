//! Pages of other origins (CORS): which may read a response, and the question that a browser asks before some requests.
//!
//! The gateway answers that question itself, before any stage: it comes without the page's key. Model servers are never asked, and
//! what they say of origins is dropped.
//!
//! # Source
//! WHATWG Fetch, "CORS protocol".

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use sluicegate_config::Cors;
use sluicegate_plugin_host::wit::{Field, Reply};

use crate::route::{Found, Routes};

/// What a page may read of the header fields, beside the harmless ones that it always may: `*` is not for those with a key.
const EXPOSED: &str = "x-request-id, request-id, retry-after, x-should-retry, x-sluicegate-dropped, \
    x-sluicegate-estimate, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

/// What a response tells the browser of the page that asked: its origin, or `*`. `None` for a request of no page, or of one that
/// may not read the response.
pub(super) fn allowed(cors: Option<&Cors>, fields: &HeaderMap) -> Option<HeaderValue> {
    let cors = cors?;
    let mut origins = fields.get_all(ORIGIN).iter();
    let (origin, None) = (origins.next()?, origins.next()) else {
        // No browser sends two.
        return None;
    };
    if cors.origins.iter().any(|known| known == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let text = origin.to_str().ok()?;
    let mut known = cors.origins.iter();
    let is_known = known.any(|known| known.eq_ignore_ascii_case(text));
    is_known.then(|| origin.clone())
}

/// The fields of every response for a page that may read it.
pub(super) fn fields(origin: HeaderValue) -> [(HeaderName, HeaderValue); 2] {
    [
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        ),
    ]
}

/// The response to a browser that asks whether it may send a page's request; `None` for any other request, and where there is no
/// route.
pub(super) fn preflight(parts: &Parts, cors: &Cors, routes: &Routes) -> Option<Reply> {
    let wanted = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if parts.method != Method::OPTIONS {
        return None;
    }
    let wanted = Method::from_bytes(wanted.as_bytes()).ok()?;
    let methods = match routes.find(&wanted, parts.uri.path()) {
        Found::Route(_) => wanted.to_string(),
        Found::OtherMethods(allow) => allow,
        Found::Nothing => return None,
    };
    let field = |name: HeaderName, value: &[u8]| Field {
        name: name.as_str().to_owned(),
        value: value.to_vec(),
    };
    let seconds = cors.max_age.as_secs().to_string();
    let mut fields = vec![
        field(ACCESS_CONTROL_ALLOW_METHODS, methods.as_bytes()),
        field(ACCESS_CONTROL_MAX_AGE, seconds.as_bytes()),
    ];
    for names in parts.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        fields.push(field(ACCESS_CONTROL_ALLOW_HEADERS, names.as_bytes()));
    }
    Some(Reply {
        status: 204,
        fields,
        body: Vec::new(),
        reason: "preflight".into(),
    })
}
