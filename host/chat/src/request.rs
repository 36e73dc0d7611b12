//! What each request does, however it came: over a socket, as an `rpc`, or through the REST API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;

use super::auth::Login;
use super::clock;
use super::hub::{Conn, Hub};
use super::session::ask::{Ask, QueueOp};
use super::wire::event::RunKind;
use super::wire::params::{
    CardPayload, Command, OneSession, PatchSession, Ping, Pong, QueueChange, Sub,
};
use super::wire::{self, Code, ErrorBody, Method, Request, bad_param};

mod actions;

/// Who asks, and over which connection, if it has one that frames can be sent to.
pub(crate) struct Asker<'a> {
    pub hub: &'a Arc<Hub>,
    pub login: &'a Login,
    pub conn: Option<&'a Arc<Conn>>,
}

/// The text of the answer to a request; `None` if the answer takes its way through the connection's outbox by itself.
pub(crate) async fn handle(asker: &Asker<'_>, request: &Request<'_>) -> Option<String> {
    let Some(method) = Method::parse(&request.method) else {
        let error = ErrorBody::new(Code::BadFrame, "no such method")
            .details(serde_json::json!({ "method": request.method }));
        return Some(wire::fail(&request.id, &error));
    };
    match run(asker, method, request).await {
        Ok(answer) => answer,
        Err(error) => Some(wire::fail(&request.id, &error)),
    }
}

/// Whether a request can take so long that others should not wait for it.
pub(crate) fn is_slow(method: &str) -> bool {
    matches!(
        method,
        "code.highlight" | "sessions.list" | "cmd" | "messages.page"
    )
}

async fn run(
    asker: &Asker<'_>,
    method: Method,
    request: &Request<'_>,
) -> Result<Option<String>, ErrorBody> {
    let id = &*request.id;
    let answer = match method {
        Method::Hello => return Err(bad_param("method", "hello comes once, at the beginning")),
        Method::Sub => return watch(asker, id, params(request)?).await.map(|()| None),
        Method::Unsub => wire::ok(id, &asker.unwatch(&session(request)?).await?),
        Method::Ping => wire::ok(id, &pong(&params(request)?)),
        Method::Visible => wire::ok(id, &asker.show(&params(request)?)),
        Method::SessionsList => wire::ok(id, &asker.list(params(request)?).await?),
        Method::SessionsGet => wire::ok(id, &asker.get(session(request)?).await?),
        Method::SessionsCreate => wire::ok(id, &asker.create(params(request)?).await?),
        Method::SessionsPatch => {
            let PatchSession { session, patch } = params(request)?;
            wire::ok(id, &asker.patch(&session, patch, None).await?)
        }
        Method::SessionsDelete => wire::ok(id, &asker.bin(&session(request)?, true).await?),
        Method::SessionsRestore => wire::ok(id, &asker.bin(&session(request)?, false).await?),
        Method::SessionsRead => wire::ok(id, &asker.read(params(request)?).await?),
        Method::MessagesPage => wire::ok(id, &asker.page(params(request)?).await?),
        Method::MessagesGet => wire::ok(id, &asker.message(params(request)?).await?),
        Method::ChatSend => wire::ok(id, &asker.send(params(request)?).await?),
        Method::ChatRegenerate => wire::ok(
            id,
            &asker.again(RunKind::Regenerate, params(request)?).await?,
        ),
        Method::ChatContinue => {
            wire::ok(id, &asker.again(RunKind::Continue, params(request)?).await?)
        }
        Method::ChatStop => wire::ok(id, &asker.stop(params(request)?).await?),
        Method::ChatQueueRemove => {
            let QueueChange { session, cid, .. } = params(request)?;
            wire::ok(id, &asker.queue(&session, QueueOp::Remove(cid)).await?)
        }
        Method::ChatQueueMove => {
            let QueueChange { session, cid, to } = params(request)?;
            wire::ok(id, &asker.queue(&session, QueueOp::Move(cid, to)).await?)
        }
        Method::BranchSelect => wire::ok(id, &asker.select(params(request)?).await?),
        Method::CodeHighlight => wire::ok(id, &*asker.highlight(params(request)?).await?),
        Method::ModelsList => wire::ok(id, &asker.models()),
        Method::Cmd => {
            let Command { name, args } = params(request)?;
            let card = asker.command(&name, args.as_deref()).await?;
            wire::ok(id, &CardPayload { card })
        }
    };
    Ok(Some(answer))
}

/// The session that a request names.
fn session(request: &Request<'_>) -> Result<String, ErrorBody> {
    Ok(params::<OneSession>(request)?.session)
}

fn pong(ping: &Ping) -> Pong {
    Pong {
        ts: ping.ts,
        now: clock::now_ms(),
    }
}

/// Reads parameters; absent ones are an empty object.
fn params<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, ErrorBody> {
    let text = request.params.map_or("{}", |params| params.get());
    serde_json::from_str(text).map_err(|error| {
        // What the parser says holds names and places, and of the client's values only what it sent itself.
        ErrorBody::new(Code::BadFrame, error.to_string())
            .details(serde_json::json!({ "param": "params" }))
    })
}

async fn watch(asker: &Asker<'_>, id: &str, params: Sub) -> Result<(), ErrorBody> {
    let Some(conn) = asker.conn else {
        return Err(ErrorBody::new(
            Code::BadFrame,
            "sub needs a socket or an event stream",
        ));
    };
    if params.after.is_some() {
        conn.resumes.fetch_add(1, Ordering::Relaxed);
        asker.hub.telemetry.resumes.fetch_add(1, Ordering::Relaxed);
    }
    let session = params.session.clone();
    let ask = Ask::Watch {
        outbox: Arc::clone(&conn.outbox),
        id: id.to_owned(),
        params,
        user: asker.user(),
    };
    asker.hub.give(&session, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_name_that_is_found() {
        for name in [
            "hello",
            "sub",
            "chat.send",
            "chat.queue.move",
            "code.highlight",
            "branch.select",
            "cmd",
        ] {
            let method = Method::parse(name).expect("known");
            assert_eq!(serde_json::to_value(method).expect("a word"), name);
        }
        assert_eq!(Method::parse("Hello"), None);
        assert_eq!(Method::parse("chat.send\0"), None);
    }
}
