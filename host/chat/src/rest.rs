//! The REST API: the requests of the socket, login and tokens, downloads and uploads, and messages of programs.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::auth::Login;
use super::caller::Caller;
use super::core::Core;
use super::origin::{AllowList, Origin};
use super::response::{self, Body};
use super::wire::params::{CardPayload, ListSessions, PageMessages, Stop};
use super::wire::rest::UsageReport;
use super::wire::session::Reach;
use super::wire::{self, Code, ErrorBody, bad_param, not_found};
use super::{store, stream as events};
use sluicegate_telemetry::clock;
use sluicegate_telemetry::clock::start_of_day;

mod account;
mod files;
mod program;

/// The most bytes of an ordinary body, and of an import.
const BODY: usize = 1 << 20;
const IMPORT: usize = 64 << 20;
/// Days that a usage report covers by default.
const DAYS: u64 = 31;

/// One request that has passed the rules for all of them.
struct Call<'a> {
    core: &'a Arc<Core>,
    login: &'a Login,
    method: Method,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    peer: IpAddr,
}

/// `GET /readyz`.
pub(crate) async fn ready(core: &Arc<Core>) -> Response<Body> {
    let store = core.store.works().await;
    let (health, _) = core.health.now();
    let ready = store && health.proxy == Reach::Up && !core.is_stopping();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    response::json(
        status,
        &serde_json::json!({ "ready": ready, "store": store, "health": health }),
    )
}

/// `/api/v1/…`.
pub(crate) async fn respond(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: IpAddr,
    secure: bool,
) -> Response<Body> {
    let result = match admit(core, &request) {
        Ok(()) => dispatch(core, request, peer, secure).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| response::error(&error))
}

/// Refuses requests that other sites cause.
fn admit(core: &Core, request: &Request<Incoming>) -> Result<(), ErrorBody> {
    let headers = request.headers();
    if core.allow_list.origin(headers) == Origin::Foreign || AllowList::cross_site(headers) {
        return Err(ErrorBody::new(
            Code::Forbidden,
            "requests from other sites are refused",
        ));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    // Forms cannot send this type, and scripts of other sites would have to ask first.
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(bad_param(
            "content-type",
            "content-type must be application/json",
        ));
    }
    if headers.contains_key(header::COOKIE)
        && !headers.contains_key(header::AUTHORIZATION)
        && core.allow_list.origin(headers) != Origin::Ours
    {
        return Err(ErrorBody::new(
            Code::Forbidden,
            "a request with a cookie needs our origin",
        ));
    }
    Ok(())
}

async fn dispatch(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: IpAddr,
    secure: bool,
) -> Result<Response<Body>, ErrorBody> {
    let (head, body) = request.into_parts();
    let path = head
        .uri
        .path()
        .strip_prefix("/api/v1/")
        .unwrap_or_default()
        .to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    if (&head.method, segments.as_slice()) == (&Method::POST, ["login"].as_slice()) {
        return account::log_in(core, body, peer, secure).await;
    }
    let login = core.auth.check(&head.headers, None, peer).await?;
    let query = query(head.uri.query().unwrap_or_default());
    let call = Call {
        core,
        login: &login,
        method: head.method,
        headers: head.headers,
        query,
        peer,
    };
    if let ["sessions", rest @ ..] = segments.as_slice() {
        return call.sessions(rest, body).await;
    }
    call.other(&segments, body, secure).await
}

impl Call<'_> {
    fn caller(&self) -> Caller<'_> {
        Caller {
            core: self.core,
            login: self.login,
            conn: None,
        }
    }

    fn param(&self, name: &str) -> Option<String> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    fn number(&self, name: &str) -> Result<Option<usize>, ErrorBody> {
        self.param(name)
            .map(|text| text.parse().map_err(|_| bad_param(name, "not a number")))
            .transpose()
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.param(name).as_deref(), Some("1" | "true"))
    }

    async fn sessions(&self, path: &[&str], body: Incoming) -> Result<Response<Body>, ErrorBody> {
        let caller = self.caller();
        match (self.method.as_str(), path) {
            ("GET", []) => {
                let list = ListSessions {
                    cursor: self.param("cursor"),
                    limit: self.number("limit")?,
                    q: self.param("q"),
                    archived: self.flag("archived"),
                    deleted: self.flag("deleted"),
                };
                Ok(response::json(StatusCode::OK, &caller.list(list).await?))
            }
            ("POST", []) => {
                let create = parse(&response::read(body, BODY).await?)?;
                Ok(response::json(
                    StatusCode::CREATED,
                    &caller.create(create).await?,
                ))
            }
            ("GET", [id]) => Ok(tagged(&caller.get((*id).to_owned()).await?)),
            ("PATCH", [id]) => {
                let at = self.if_match()?;
                let patch = parse(&response::read(body, BODY).await?)?;
                match caller.patch(id, patch, at).await {
                    Ok(payload) => Ok(tagged(&payload)),
                    Err(error) if error.code == Code::LeafChanged => {
                        let mut response = response::error(&error);
                        *response.status_mut() = StatusCode::PRECONDITION_FAILED;
                        Ok(response)
                    }
                    Err(error) => Err(error),
                }
            }
            ("DELETE", [id]) => Ok(tagged(&caller.trash(id, true).await?)),
            ("POST", [id, "restore"]) => Ok(tagged(&caller.trash(id, false).await?)),
            ("GET", [id, "messages"]) => {
                let page = PageMessages {
                    session: (*id).to_owned(),
                    before: self.param("before"),
                    leaf: self.param("leaf"),
                    limit: self.number("limit")?,
                };
                Ok(response::json(StatusCode::OK, &caller.page(page).await?))
            }
            ("POST", [id, "messages"]) => {
                self.message(id, parse(&response::read(body, BODY).await?)?)
                    .await
            }
            ("GET", [id, "export"]) => self.export(id).await,
            _ => Err(not_found("path")),
        }
    }

    async fn other(
        &self,
        path: &[&str],
        body: Incoming,
        secure: bool,
    ) -> Result<Response<Body>, ErrorBody> {
        let caller = self.caller();
        match (self.method.as_str(), path) {
            ("GET", ["models"]) => Ok(response::json(StatusCode::OK, &caller.models())),
            ("GET", ["debug"]) => {
                let args = self.param("args");
                let card = caller.command("debug", args.as_deref()).await?;
                Ok(response::json(StatusCode::OK, &CardPayload { card }))
            }
            ("GET", ["usage"]) => self.usage().await,
            ("POST", ["highlight"]) => {
                let code = parse(&response::read(body, BODY).await?)?;
                let ranges = caller.highlight(code).await?;
                Ok(response::json(StatusCode::OK, &*ranges))
            }
            ("GET", ["export"]) => self.export_all().await,
            ("POST", ["import"]) => self.import(response::read(body, IMPORT).await?).await,
            ("GET", ["runs", id]) => self.run(id).await,
            ("POST", ["runs", id, "stop"]) => {
                let stop = Stop {
                    run: Some((*id).to_owned()),
                    session: None,
                };
                Ok(response::json(StatusCode::OK, &caller.stop(stop).await?))
            }
            ("GET", ["events"]) => self.events(),
            ("POST", ["rpc"]) => self.rpc(body).await,
            _ => self.account(path, body, secure).await,
        }
    }

    fn events(&self) -> Result<Response<Body>, ErrorBody> {
        if self.core.is_stopping() {
            return Err(self.core.stopping_error());
        }
        let admitted = self.core.connections.admit(self.peer)?;
        Ok(events::open(self.core, self.login.clone(), admitted))
    }

    async fn rpc(&self, body: Incoming) -> Result<Response<Body>, ErrorBody> {
        let conn = self
            .headers
            .get("x-sluice-conn")
            .and_then(|conn| conn.to_str().ok());
        let body = response::read(body, self.core.settings.sockets.frame_bytes).await?;
        Ok(events::rpc(self.core, self.login, conn, &body).await)
    }

    fn if_match(&self) -> Result<Option<u64>, ErrorBody> {
        let Some(field) = self.headers.get(header::IF_MATCH) else {
            return Ok(None);
        };
        let seq = field
            .to_str()
            .ok()
            .and_then(|tag| tag.trim().trim_matches('"').parse().ok());
        seq.map(Some)
            .ok_or_else(|| bad_param("if-match", "the tag of an earlier response"))
    }

    async fn usage(&self) -> Result<Response<Body>, ErrorBody> {
        let day = |name: &str| {
            let start = self
                .param(name)
                .map(|text| start_of_day(&text).ok_or_else(|| bad_param(name, "write 2026-07-31")));
            start.transpose()
        };
        let to = day("to")?
            .unwrap_or_else(clock::unix_ms)
            .saturating_add(86_400_000);
        let from = day("from")?.unwrap_or(to.saturating_sub((DAYS + 1) * 86_400_000));
        let user = self.login.user.id.clone();
        let days = self
            .core
            .store
            .read(move |c| store::run::usage(c, &user, from, to))
            .await;
        Ok(response::json(StatusCode::OK, &UsageReport { days: days? }))
    }

    async fn run(&self, id: &str) -> Result<Response<Body>, ErrorBody> {
        let (user, run) = (self.login.user.id.clone(), id.to_owned());
        let (_, run) = self
            .core
            .store
            .read(move |c| store::run::find(c, &user, &run))
            .await?
            .ok_or_else(|| not_found("run"))?;
        Ok(response::json(StatusCode::OK, &run))
    }
}

fn tagged(payload: &wire::params::SessionPayload) -> Response<Body> {
    let mut response = response::json(StatusCode::OK, payload);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", payload.session.seq)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorBody> {
    serde_json::from_slice(body).map_err(|error| bad_param("body", &error.to_string()))
}

/// The pairs of a query, decoded. Broken escapes stay as they are.
fn query(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_broken_escapes_stay() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            query("q=%E6%8E%92+a&limit=5&x"),
            [pair("q", "排 a"), pair("limit", "5"), pair("x", "")]
        );
        assert_eq!(
            query("q=100%&r=%zz%4"),
            [pair("q", "100%"), pair("r", "%zz%4")]
        );
        assert_eq!(query("q=%+5&r=%%41"), [pair("q", "% 5"), pair("r", "%A")]);
        assert_eq!(query(""), []);
    }

    mod properties {
        use super::*;

        /// A text as a query may have it: letters as they are, a blank as `+`, anything as an escape of any letter case.
        fn encode(text: &str, escape: &[u8]) -> String {
            let mut encoded = String::new();
            for (byte, how) in text.bytes().zip(escape.iter().cycle()) {
                match byte {
                    b'a'..=b'z' if how % 2 == 0 => encoded.push(char::from(byte)),
                    b' ' if how % 2 == 0 => encoded.push('+'),
                    _ if how % 3 == 0 => encoded.push_str(&format!("%{byte:02X}")),
                    _ => encoded.push_str(&format!("%{byte:02x}")),
                }
            }
            encoded
        }

        proptest::proptest! {
            #[test]
            fn a_query_is_read_as_it_was_written(
                pairs in proptest::collection::vec(("[a-z]\\PC{0,8}", "\\PC{0,12}"), 0..5),
                escape in proptest::collection::vec(0_u8..6, 1..9),
            ) {
                let written: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}={}", encode(key, &escape), encode(value, &escape)))
                    .collect();
                proptest::prop_assert_eq!(query(&written.join("&")), pairs);
            }

            #[test]
            fn any_query_is_no_longer_than_it_was(text in "[%&=+0-9a-fA-F\u{e4}]{0,30}|\\PC{0,30}") {
                let length: usize = query(&text).iter().map(|(key, value)| key.len() + value.len()).sum();
                // What is not UTF-8 becomes U+FFFD, three bytes for an escape of three.
                proptest::prop_assert!(length <= text.len());
            }
        }
    }
}
