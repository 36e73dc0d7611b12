//! `http`: requests to other servers. What is legal in one is here; where it may go, and the connection, is in the crate
//! `outbound`.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request as HttpRequest, Response as HttpResponse, Uri};
use sluicegate_config::Origin;
use sluicegate_contract::capability as rules;
use sluicegate_contract::fields;
use sluicegate_outbound::Error as OutboundError;
use tokio::time::timeout;

use super::capability::Given;
use crate::bindings::sluicegate::plugin::http::{Host, Request, Response};
use crate::services::PluginServices;
use crate::store::{State, WAIT_MAX};
use crate::wit::Field;

/// The longest URL in bytes, as in `wit/capabilities.wit`.
const URL_MAX: usize = 8 << 10;

/// The most fields of a request, and bytes of them, as there.
const FIELDS_MAX: usize = 128;
pub(super) const FIELD_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a request's body, as there.
pub(super) const BODY_MAX: usize = 1 << 20;

/// What a line of the log about a request counts for.
const LINE: usize = 256;

impl Host for State {
    async fn send(&mut self, request: Request) -> Given<Response> {
        self.charged(request.url.len() + request.body.len(), |_| ())?;
        let sent = match self.granted(|grant| grant.http.as_ref().map(|_| ())) {
            Ok(((), services)) => self.send_granted(&services, request).await?,
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => {
                let bytes = response.body().len();
                self.charged(bytes, |_| Ok(to_guest(response)))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl State {
    async fn send_granted(
        &mut self,
        services: &PluginServices,
        request: Request,
    ) -> wasmtime::Result<Result<HttpResponse<Bytes>, rules::Error>> {
        let limit = match request.timeout_ms {
            0 => WAIT_MAX,
            ms => WAIT_MAX.min(Duration::from_millis(ms.into())),
        };
        let prepared = legal(request).and_then(|legal| {
            let client = self.owner.granted.client.clone();
            let client = client.ok_or(rules::Error::Denied)?;
            Ok((legal, client, self.may_wait(services)?))
        });
        let ((origin, request), client, permit) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let sent = self
            .wait(timeout(limit, client.send(origin.clone(), request)))
            .await?;
        drop(permit);
        Ok(match sent {
            Some(Ok(Ok(response))) => Ok(response),
            Some(Ok(Err(error))) => {
                self.tell(&error.to_string());
                Err(match error {
                    OutboundError::Origin(_) | OutboundError::Address { .. } => {
                        rules::Error::Denied
                    }
                    OutboundError::Connect { .. } | OutboundError::Broken { .. } => {
                        rules::Error::Unavailable
                    }
                    OutboundError::TooLarge(_) => rules::Error::OverLimit,
                })
            }
            Some(Err(_)) => {
                self.tell(&format!("no response from {origin} within {limit:?}"));
                Err(rules::Error::Unavailable)
            }
            None => {
                self.tell(&format!(
                    "no response from {origin} before the call or its exchange was over"
                ));
                Err(rules::Error::Unavailable)
            }
        })
    }

    /// Tells the log why a request has no response.
    fn tell(&mut self, reason: &str) {
        if !self.may_log(LINE) {
            return self.owner.count_dropped_line();
        }
        let plugin = &*self.owner.name;
        let req = self.context().map(|context| &*context.identity.id);
        tracing::warn!(plugin, req, error = reason, "a plugin's request failed");
    }
}

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

fn to_guest(response: HttpResponse<Bytes>) -> Response {
    let (mut head, body) = response.into_parts();
    fields::strip_hop_by_hop(&mut head.headers);
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| Field {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    });
    Response {
        status: head.status.as_u16(),
        fields: fields.collect(),
        body: Vec::from(body),
    }
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
