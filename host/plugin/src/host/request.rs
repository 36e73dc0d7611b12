//! What is legal in a request of a plugin, as `wit/capabilities.wit` says.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request as HttpRequest, Uri};
use sluicegate_config::Origin;
use sluicegate_contract::capability as rules;
use sluicegate_contract::fields;

use crate::bindings::sluicegate::plugin::http::Request;
use crate::wit::Field;

/// The longest URL in bytes, as in `wit/capabilities.wit`.
const URL_MAX: usize = 8 << 10;

/// The most fields of a request, and bytes of them, as there.
const FIELDS_MAX: usize = 128;
pub(super) const FIELD_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a request's body, as there.
pub(super) const BODY_MAX: usize = 1 << 20;

/// The request, if it is legal, and where it is to go.
pub(super) fn legal(request: Request) -> Result<(Origin, HttpRequest<Bytes>), rules::Error> {
    let invalid = rules::Error::Invalid;
    if request.body.len() > BODY_MAX {
        return Err(rules::Error::OverLimit);
    }
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| invalid)?;
    let lower = request.method.bytes().any(|byte| byte.is_ascii_lowercase());
    if lower || method == Method::CONNECT {
        return Err(invalid);
    }
    let (origin, path) = target(&request.url).ok_or(invalid)?;
    let mut legal = HttpRequest::new(Bytes::from(request.body));
    *legal.method_mut() = method;
    *legal.uri_mut() = path.into();
    *legal.headers_mut() = header(&request.fields).ok_or(invalid)?;
    Ok((origin, legal))
}

/// Where a URL points, and what is asked there.
fn target(url: &str) -> Option<(Origin, PathAndQuery)> {
    let url = url.split('#').next().unwrap_or_default();
    if url.len() > URL_MAX {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme()?;
    let tls = *scheme == Scheme::HTTPS;
    let authority = uri.authority()?;
    if (!tls && *scheme != Scheme::HTTP) || authority.as_str().contains('@') {
        return None;
    }
    let port = match authority.as_str().strip_prefix(authority.host())? {
        "" if tls => 443,
        "" => 80,
        rest => {
            let digits = rest.strip_prefix(':')?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|_| is_number);
            port.filter(|port| *port > 0)?
        }
    };
    let host = authority.host().trim_matches(['[', ']']);
    if host.is_empty() {
        return None;
    }
    let origin = Origin {
        tls,
        host: host.to_ascii_lowercase(),
        port,
    };
    let path = uri.path_and_query().cloned();
    Some((
        origin,
        path.unwrap_or_else(|| PathAndQuery::from_static("/")),
    ))
}

fn header(given: &[Field]) -> Option<HeaderMap> {
    let bytes: usize = given
        .iter()
        .map(|field| field.name.len() + field.value.len())
        .sum();
    if given.len() > FIELDS_MAX || bytes > FIELD_BYTES_MAX {
        return None;
    }
    let mut header = HeaderMap::with_capacity(given.len());
    for field in given {
        let name: HeaderName = fields::name(&field.name).ok()?;
        if name == hyper::header::HOST {
            return None;
        }
        let value = fields::value(&name, &field.value).ok()?;
        header.append(name, value);
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            fields: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    #[test]
    fn a_url_has_an_origin_and_a_path() {
        for (url, origin, path) in [
            ("https://IdP.example", "https://idp.example:443", "/"),
            ("http://a:8080/b?c#d", "http://a:8080", "/b?c"),
            ("http://[::1]:1/", "http://[::1]:1", "/"),
            ("https://a?b", "https://a:443", "/?b"),
        ] {
            let (found, request) = legal(request("GET", url)).expect(url);
            assert_eq!(found.to_string(), origin);
            assert_eq!(request.uri().to_string(), path);
        }
    }

    #[test]
    fn what_is_not_legal_is_refused() {
        let long = format!("https://a/{}", "x".repeat(URL_MAX));
        for url in [
            "",
            "/path",
            "a.example",
            "ftp://a/",
            "https:///x",
            "https://u:p@a/",
            "https://a:0/",
            "https://a:/",
            "https://a:99999/",
            "https://a b/",
            &long,
        ] {
            assert_eq!(
                legal(request("GET", url)).err(),
                Some(rules::Error::Invalid),
                "{url}"
            );
        }
        for method in ["", "get", "CONNECT", "G T"] {
            assert!(legal(request(method, "https://a/")).is_err(), "{method}");
        }
        let with = |name: &str, value: &[u8]| {
            let mut request = request("GET", "https://a/");
            request.fields.push(Field {
                name: name.into(),
                value: value.into(),
            });
            legal(request).map(drop)
        };
        assert_eq!(with("authorization", b"Bearer x"), Ok(()));
        for name in [
            "host",
            "content-length",
            "connection",
            "transfer-encoding",
            "a b",
            "",
        ] {
            assert_eq!(with(name, b"1"), Err(rules::Error::Invalid), "{name}");
        }
        assert_eq!(with("a", b"x\r\ny: z"), Err(rules::Error::Invalid));
        let mut large = request("POST", "https://a/");
        large.body = vec![0; BODY_MAX + 1];
        assert_eq!(legal(large).err(), Some(rules::Error::OverLimit));
    }
}
