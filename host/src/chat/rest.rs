//! The REST API: the same requests as on the socket, login and tokens, downloads and uploads, and answers for programs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::auth::Login;
use super::guard::{Guard, Origin};
use super::http::{self, Body};
use super::hub::{Conn, Hub};
use super::outbox::Next;
use super::request::Asker;
use super::session::ask::Ask;
use super::session::{bad_param, not_found, store_failed};
use super::store::{self, token};
use super::wire::params::{
    Accepted, CardPayload, ListSessions, OneMessage, PageMessages, Send, Sent, Stop, Sub, When,
};
use super::wire::rest::{Answered, LoginCode, Me, NewToken, PostMessage, Tokens, UsageReport};
use super::wire::session::Reach;
use super::wire::{self, Code, ErrorBody};
use super::{clock, id, socket, stream as events, transfer};

/// Bytes of an ordinary body, and of an import.
const BODY: usize = 1 << 20;
const IMPORT: usize = 64 << 20;
/// Days that a usage report covers if nothing was asked for.
const DAYS: u64 = 31;

/// One request under the rules that hold for all of them.
struct Call<'a> {
    hub: &'a Arc<Hub>,
    login: &'a Login,
    method: Method,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    peer: SocketAddr,
}

/// `GET /readyz`.
pub(crate) async fn ready(hub: &Arc<Hub>) -> Response<Body> {
    let store = hub
        .store
        .read(|c| store::schema::epoch(c).map(drop))
        .await
        .is_ok();
    let (health, _) = hub.health.now();
    let ready = store && health.proxy == Reach::Up && !hub.is_stopping();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    http::json(
        status,
        &serde_json::json!({ "ready": ready, "store": store, "health": health }),
    )
}

/// `/api/v1/…`.
pub(crate) async fn answer(
    hub: &Arc<Hub>,
    request: Request<Incoming>,
    peer: SocketAddr,
    secure: bool,
) -> Response<Body> {
    let result = match admit(hub, &request) {
        Ok(()) => dispatch(hub, request, peer, secure).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| http::error(&error))
}

/// The rules against requests that other sites cause.
fn admit(hub: &Hub, request: &Request<Incoming>) -> Result<(), ErrorBody> {
    let headers = request.headers();
    if hub.guard.origin(headers) == Origin::Foreign || Guard::cross_site(headers) {
        return Err(ErrorBody::new(
            Code::Forbidden,
            "requests of other sites are refused",
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
        && hub.guard.origin(headers) != Origin::Ours
    {
        return Err(ErrorBody::new(
            Code::Forbidden,
            "a request with a cookie needs our origin",
        ));
    }
    Ok(())
}

async fn dispatch(
    hub: &Arc<Hub>,
    request: Request<Incoming>,
    peer: SocketAddr,
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
        return log_in(hub, body, peer, secure).await;
    }
    let login = hub.auth.check(&head.headers, None, peer.ip()).await?;
    let query = query(head.uri.query().unwrap_or_default());
    let call = Call {
        hub,
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

async fn log_in(
    hub: &Arc<Hub>,
    body: Incoming,
    peer: SocketAddr,
    secure: bool,
) -> Result<Response<Body>, ErrorBody> {
    let body = parse(&http::read(body, BODY).await?)?;
    let fresh = hub.auth.log_in(&body, peer.ip()).await.inspect_err(|_| {
        hub.telemetry.login_failures.fetch_add(1, Ordering::Relaxed);
    })?;
    let mut response = http::json(StatusCode::OK, &fresh.body);
    set_cookie(&mut response, &hub.auth.set_cookie(&fresh.cookie, secure));
    Ok(response)
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

impl Call<'_> {
    fn asker(&self) -> Asker<'_> {
        Asker {
            hub: self.hub,
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
        let asker = self.asker();
        match (self.method.as_str(), path) {
            ("GET", []) => {
                let list = ListSessions {
                    cursor: self.param("cursor"),
                    limit: self.number("limit")?,
                    q: self.param("q"),
                    archived: self.flag("archived"),
                    deleted: self.flag("deleted"),
                };
                Ok(http::json(StatusCode::OK, &asker.list(list).await?))
            }
            ("POST", []) => {
                let create = parse(&http::read(body, BODY).await?)?;
                Ok(http::json(
                    StatusCode::CREATED,
                    &asker.create(create).await?,
                ))
            }
            ("GET", [id]) => Ok(tagged(&asker.get((*id).to_owned()).await?)),
            ("PATCH", [id]) => {
                let at = self.if_match()?;
                let patch = parse(&http::read(body, BODY).await?)?;
                match asker.patch(id, patch, at).await {
                    Ok(payload) => Ok(tagged(&payload)),
                    Err(error) if error.code == Code::LeafChanged => {
                        let mut response = http::error(&error);
                        *response.status_mut() = StatusCode::PRECONDITION_FAILED;
                        Ok(response)
                    }
                    Err(error) => Err(error),
                }
            }
            ("DELETE", [id]) => Ok(tagged(&asker.bin(id, true).await?)),
            ("POST", [id, "restore"]) => Ok(tagged(&asker.bin(id, false).await?)),
            ("GET", [id, "messages"]) => {
                let page = PageMessages {
                    session: (*id).to_owned(),
                    before: self.param("before"),
                    leaf: self.param("leaf"),
                    limit: self.number("limit")?,
                };
                Ok(http::json(StatusCode::OK, &asker.page(page).await?))
            }
            ("POST", [id, "messages"]) => {
                self.message(id, parse(&http::read(body, BODY).await?)?)
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
        let asker = self.asker();
        match (self.method.as_str(), path) {
            ("GET", ["me"]) => Ok(http::json(
                StatusCode::OK,
                &Me {
                    user: self.login.user.clone(),
                    build: self.hub.pages.build(),
                },
            )),
            ("POST", ["logout"]) => {
                self.revoke(&self.login.token.clone()).await?;
                let mut response = http::empty(StatusCode::NO_CONTENT);
                set_cookie(&mut response, &self.hub.auth.set_cookie("", secure));
                Ok(response)
            }
            ("POST", ["login-codes"]) => self.login_code().await,
            ("GET", ["tokens"]) => self.tokens().await,
            ("POST", ["tokens"]) => {
                let new: NewToken = parse(&http::read(body, BODY).await?)?;
                if !(1..=64).contains(&new.label.chars().count()) {
                    return Err(bad_param("label", "1 to 64 characters"));
                }
                Ok(http::json(
                    StatusCode::CREATED,
                    &self.hub.auth.new_program(self.login, &new.label).await?,
                ))
            }
            ("DELETE", ["tokens", id]) => match self.revoke(id).await? {
                true => Ok(http::empty(StatusCode::NO_CONTENT)),
                false => Err(not_found("token")),
            },
            ("GET", ["models"]) => Ok(http::json(StatusCode::OK, &asker.models())),
            ("GET", ["debug"]) => {
                let card = asker
                    .command("debug", self.param("args").as_deref())
                    .await?;
                Ok(http::json(StatusCode::OK, &CardPayload { card }))
            }
            ("GET", ["usage"]) => self.usage().await,
            ("POST", ["highlight"]) => {
                let ask = parse(&http::read(body, BODY).await?)?;
                Ok(http::json(StatusCode::OK, &*asker.highlight(ask).await?))
            }
            ("GET", ["export"]) => self.export_all().await,
            ("POST", ["import"]) => self.import(http::read(body, IMPORT).await?).await,
            ("GET", ["runs", id]) => self.run(id).await,
            ("POST", ["runs", id, "stop"]) => {
                let stop = Stop {
                    run: Some((*id).to_owned()),
                    session: None,
                };
                Ok(http::json(StatusCode::OK, &asker.stop(stop).await?))
            }
            ("GET", ["events"]) => match self.hub.is_stopping() {
                true => Err(self.hub.stopping_error()),
                false => Ok(events::open(
                    self.hub,
                    self.login.clone(),
                    self.hub.admit(self.peer.ip())?,
                )),
            },
            ("POST", ["rpc"]) => {
                let conn = self
                    .headers
                    .get("x-sluice-conn")
                    .and_then(|conn| conn.to_str().ok());
                let body = http::read(body, self.hub.settings.limits.frame_bytes).await?;
                Ok(events::rpc(self.hub, self.login, conn, &body).await)
            }
            _ => Err(not_found("path")),
        }
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
            .ok_or_else(|| bad_param("if-match", "the tag of an earlier answer"))
    }

    async fn revoke(&self, token: &str) -> Result<bool, ErrorBody> {
        let (user, token_id) = (self.login.user.id.clone(), token.to_owned());
        let revoked = self
            .hub
            .store
            .write(move |c| token::revoke(c, &user, &token_id, clock::now_ms()))
            .await;
        let revoked = revoked.map_err(|error| store_failed(&error))?;
        if revoked {
            self.hub.close_login(token);
        }
        Ok(revoked)
    }

    async fn login_code(&self) -> Result<Response<Body>, ErrorBody> {
        let code = self
            .hub
            .auth
            .new_code(&self.login.user.id, self.login.debug())
            .await;
        let code = code.map_err(|error| store_failed(&error))?;
        // The link leads to where the user is now: that name works from where the user sits.
        let (host, secure) = self
            .hub
            .guard
            .host(&self.headers)
            .unwrap_or(("127.0.0.1", false));
        let scheme = if secure { "https" } else { "http" };
        let link = format!("{scheme}://{host}/#login={code}");
        Ok(http::json(
            StatusCode::CREATED,
            &LoginCode {
                link,
                expires_at: clock::now_ms() + token::CODE_MS,
            },
        ))
    }

    async fn tokens(&self) -> Result<Response<Body>, ErrorBody> {
        let (user, current) = (self.login.user.id.clone(), self.login.token.clone());
        let tokens = self
            .hub
            .store
            .read(move |c| token::list(c, &user, &current, clock::now_ms()))
            .await;
        let tokens = tokens.map_err(|error| store_failed(&error))?;
        Ok(http::json(StatusCode::OK, &Tokens { tokens }))
    }

    async fn usage(&self) -> Result<Response<Body>, ErrorBody> {
        let day = |name: &str| {
            let start = self.param(name).map(|text| {
                clock::day_start(&text).ok_or_else(|| bad_param(name, "write 2026-07-31"))
            });
            start.transpose()
        };
        let to = day("to")?
            .unwrap_or_else(clock::now_ms)
            .saturating_add(86_400_000);
        let from = day("from")?.unwrap_or(to.saturating_sub((DAYS + 1) * 86_400_000));
        let user = self.login.user.id.clone();
        let days = self
            .hub
            .store
            .read(move |c| store::run::usage(c, &user, from, to))
            .await;
        Ok(http::json(
            StatusCode::OK,
            &UsageReport {
                days: days.map_err(|error| store_failed(&error))?,
            },
        ))
    }

    async fn run(&self, id: &str) -> Result<Response<Body>, ErrorBody> {
        let (user, run) = (self.login.user.id.clone(), id.to_owned());
        let found = self
            .hub
            .store
            .read(move |c| store::run::find(c, &user, &run))
            .await;
        let (_, run) = found
            .map_err(|error| store_failed(&error))?
            .ok_or_else(|| not_found("run"))?;
        Ok(http::json(StatusCode::OK, &run))
    }

    async fn export(&self, session: &str) -> Result<Response<Body>, ErrorBody> {
        let format = self.param("format").unwrap_or_else(|| "md".to_owned());
        let (user, session) = (self.login.user.id.clone(), session.to_owned());
        let missing = || not_found("session");
        let (name, kind, text) = match format.as_str() {
            "json" => {
                let file = self
                    .hub
                    .store
                    .read(move |c| transfer::file_of(c, &user, &session))
                    .await;
                let file = file
                    .map_err(|error| store_failed(&error))?
                    .ok_or_else(missing)?;
                (
                    "session.json".to_owned(),
                    "application/json",
                    wire::text(&file),
                )
            }
            "md" | "html" => {
                let branch = self
                    .hub
                    .store
                    .read(move |c| transfer::branch(c, &user, &session))
                    .await;
                let (session, messages) = branch
                    .map_err(|error| store_failed(&error))?
                    .ok_or_else(missing)?;
                match format.as_str() {
                    "md" => (
                        session.title.clone() + ".md",
                        "text/markdown; charset=utf-8",
                        transfer::markdown(&session, &messages),
                    ),
                    _ => (
                        session.title.clone() + ".html",
                        "text/html; charset=utf-8",
                        transfer::html(&session, &messages),
                    ),
                }
            }
            _ => return Err(bad_param("format", "md, json or html")),
        };
        Ok(download(&name, kind, text))
    }

    async fn export_all(&self) -> Result<Response<Body>, ErrorBody> {
        let user = self.login.user.id.clone();
        let text = self
            .hub
            .store
            .read(move |c| transfer::file(c, &user).map(|file| wire::text(&file)))
            .await;
        Ok(download(
            "chats.json",
            "application/json",
            text.map_err(|error| store_failed(&error))?,
        ))
    }

    async fn import(&self, body: Bytes) -> Result<Response<Body>, ErrorBody> {
        let user = self.login.user.id.clone();
        // A refused file is a value here, but must not leave half of itself behind: the savepoint goes with an error.
        let problem = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&problem);
        let added = self
            .hub
            .store
            .write(move |c| match transfer::add(c, &user, &body) {
                Ok(imported) => Ok(imported),
                Err(transfer::Error::Store(error)) => Err(error),
                Err(other) => {
                    *told
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner) =
                        Some(other.to_string());
                    Err(store::Error::Closed)
                }
            });
        match added.await {
            Ok(imported) => Ok(http::json(StatusCode::OK, &imported)),
            Err(error) => {
                let problem = problem
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .take();
                Err(problem.map_or_else(
                    || store_failed(&error),
                    |problem| bad_param("body", &problem),
                ))
            }
        }
    }

    /// A message of a program: waits for the answer, or streams the session's frames until it has ended.
    async fn message(&self, session: &str, post: PostMessage) -> Result<Response<Body>, ErrorBody> {
        let key = self
            .headers
            .get("idempotency-key")
            .and_then(|key| key.to_str().ok());
        let cid = key.map_or_else(|| id::new("cid"), str::to_owned);
        let conn = socket::join(self.hub, self.login.clone(), true);
        let mut guest = Guest {
            hub: Arc::clone(self.hub),
            conn,
            run: String::new(),
            over: false,
        };
        let user = self.login.user.id.clone();
        let params = Sub {
            session: session.to_owned(),
            epoch: None,
            after: None,
            runs: Default::default(),
        };
        let outbox = Arc::clone(&guest.conn.outbox);
        self.hub
            .give(
                session,
                Ask::Watch {
                    outbox,
                    id: "sub".to_owned(),
                    params,
                    user,
                },
            )
            .await?;
        let send = Send {
            session: Some(session.to_owned()),
            cid,
            parent: None,
            expected_leaf: None,
            text: post.text,
            model: post.model,
            options: post.options,
            edit_of: None,
            when: When::Queue,
            system: None,
        };
        let sent = self.asker().send(send).await?;
        let Some(run) = sent.run.clone().filter(|_| sent.status != Accepted::Card) else {
            return Ok(http::json(
                StatusCode::ACCEPTED,
                &Answered { sent, answer: None },
            ));
        };
        guest.run = run;
        guest.over = sent.status == Accepted::Ended;
        if post.stream {
            return Ok(streamed(guest));
        }
        guest.wait().await;
        self.answered(sent).await
    }

    async fn answered(&self, sent: Sent) -> Result<Response<Body>, ErrorBody> {
        let message = OneMessage {
            session: sent.session.clone().unwrap_or_default(),
            message: sent.reply.clone().unwrap_or_default(),
        };
        let answer = self.asker().message(message).await?.message;
        Ok(http::json(
            StatusCode::OK,
            &Answered {
                sent,
                answer: Some(answer),
            },
        ))
    }
}

/// A program that watches one run.
struct Guest {
    hub: Arc<Hub>,
    conn: Arc<Conn>,
    run: String,
    /// The run's end was seen.
    over: bool,
}

impl Guest {
    /// The next frame; `None` after the run's end.
    async fn next(&mut self) -> Option<super::outbox::Frame> {
        while !self.over {
            match self.conn.outbox.next(Instant::now()) {
                Next::Send(frame) => {
                    self.over = self.ends(frame.as_str());
                    return Some(frame);
                }
                Next::Close(_) => return None,
                Next::Wait(until) => {
                    let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
                    tokio::select! {
                        () = self.conn.outbox.ready() => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = self.hub.closed.cancelled() => return None,
                    }
                }
            }
        }
        None
    }

    fn ends(&self, frame: &str) -> bool {
        // Most frames are deltas; only events are worth parsing.
        frame.starts_with(r#"{"type":"event""#)
            && serde_json::from_str::<serde_json::Value>(frame).is_ok_and(|event| {
                event["ev"] == "run.ended" && event["data"]["run"] == self.run.as_str()
            })
    }

    async fn wait(mut self) {
        while self.next().await.is_some() {}
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.hub.leave(&self.conn.outbox.conn);
    }
}

fn streamed(guest: Guest) -> Response<Body> {
    let frames = stream::unfold(guest, |mut guest| async move {
        let frame = guest.next().await?;
        Some((
            Ok(Frame::data(Bytes::from(format!(
                "data: {}\n\n",
                frame.as_str()
            )))),
            guest,
        ))
    });
    events::events_response(StreamBody::new(frames).boxed_unsync())
}

fn tagged(payload: &wire::params::SessionPayload) -> Response<Body> {
    let mut response = http::json(StatusCode::OK, payload);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", payload.session.seq)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A file to be saved. The name is the user's text: only plain letters go into the old form, the rest is encoded.
fn download(name: &str, kind: &'static str, text: String) -> Response<Body> {
    let mut response = http::typed(StatusCode::OK, kind, text);
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&id::hex(&[byte]).to_ascii_uppercase());
        }
    }
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorBody> {
    serde_json::from_slice(body).map_err(|error| bad_param("body", &error.to_string()))
}

/// The pairs of a query, decoded. Broken escapes stay as they are.
fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
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
        assert_eq!(query(""), []);
    }

    #[test]
    fn a_download_name_cannot_break_its_header() {
        let response = download("排序\"; x=\r\n<b>.md", "text/markdown", String::new());
        let field = response.headers()["content-disposition"]
            .to_str()
            .expect("text");
        assert!(field.starts_with("attachment; filename=\"_____"), "{field}");
        assert!(
            field.ends_with("filename*=UTF-8''%E6%8E%92%E5%BA%8F%22%3B%20x%3D%0D%0A%3Cb%3E.md"),
            "{field}"
        );
    }
}
