//! What each request does, whether it came over a socket, as an `rpc` or through the REST API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;

use super::caller::Caller;
use super::session as sessions;
use super::session::command::{Command, QueueOp};
use super::wire::event::RunKind;
use super::wire::params::{
    CardPayload, OneSession, PatchSession, Ping, Pong, QueueChange, SlashCommand, Sub,
};
use super::wire::{self, Code, ErrorBody, Method, Request, bad_param};
use sluicegate_telemetry::clock;

mod actions;

/// The text of the response to a request; `None` if the response is sent through the connection's outbox by the session.
pub(crate) async fn handle(caller: &Caller<'_>, request: &Request<'_>) -> Option<String> {
    let Some(method) = Method::parse(&request.method) else {
        let error = ErrorBody::new(Code::BadFrame, "no such method")
            .details(serde_json::json!({ "method": request.method }));
        return Some(wire::fail(&request.id, &error));
    };
    match run(caller, method, request).await {
        Ok(response) => response,
        Err(error) => Some(wire::fail(&request.id, &error)),
    }
}

/// Whether a request can take long, so that others should not wait for it.
pub(crate) fn is_slow(method: &str) -> bool {
    matches!(
        method,
        "code.highlight" | "sessions.list" | "cmd" | "messages.page"
    )
}

async fn run(
    caller: &Caller<'_>,
    method: Method,
    request: &Request<'_>,
) -> Result<Option<String>, ErrorBody> {
    let id = &*request.id;
    let response = match method {
        Method::Hello => return Err(bad_param("method", "hello comes once, at the beginning")),
        Method::Sub => return watch(caller, id, params(request)?).await.map(|()| None),
        Method::Unsub => wire::ok(id, &caller.unwatch(&session(request)?).await?),
        Method::Ping => wire::ok(id, &pong(&params(request)?)),
        Method::Visible => wire::ok(id, &caller.show(&params(request)?)),
        Method::SessionsList => wire::ok(id, &caller.list(params(request)?).await?),
        Method::SessionsGet => wire::ok(id, &caller.get(session(request)?).await?),
        Method::SessionsCreate => wire::ok(id, &caller.create(params(request)?).await?),
        Method::SessionsPatch => {
            let PatchSession { session, patch } = params(request)?;
            wire::ok(id, &caller.patch(&session, patch, None).await?)
        }
        Method::SessionsDelete => wire::ok(id, &caller.trash(&session(request)?, true).await?),
        Method::SessionsRestore => wire::ok(id, &caller.trash(&session(request)?, false).await?),
        Method::SessionsRead => wire::ok(id, &caller.read(params(request)?).await?),
        Method::MessagesPage => wire::ok(id, &caller.page(params(request)?).await?),
        Method::MessagesGet => wire::ok(id, &caller.message(params(request)?).await?),
        Method::ChatSend => wire::ok(id, &caller.send(params(request)?).await?),
        Method::ChatRegenerate => wire::ok(
            id,
            &caller.again(RunKind::Regenerate, params(request)?).await?,
        ),
        Method::ChatContinue => wire::ok(
            id,
            &caller.again(RunKind::Continue, params(request)?).await?,
        ),
        Method::ChatStop => wire::ok(id, &caller.stop(params(request)?).await?),
        Method::ChatQueueRemove => {
            let QueueChange { session, cid, .. } = params(request)?;
            wire::ok(id, &caller.queue(&session, QueueOp::Remove(cid)).await?)
        }
        Method::ChatQueueMove => {
            let QueueChange { session, cid, to } = params(request)?;
            wire::ok(id, &caller.queue(&session, QueueOp::Move(cid, to)).await?)
        }
        Method::BranchSelect => wire::ok(id, &caller.select(params(request)?).await?),
        Method::CodeHighlight => wire::ok(id, &*caller.highlight(params(request)?).await?),
        Method::ModelsList => wire::ok(id, &caller.models()),
        Method::Cmd => {
            let SlashCommand { name, args } = params(request)?;
            let card = caller.command(&name, args.as_deref()).await?;
            wire::ok(id, &CardPayload { card })
        }
    };
    Ok(Some(response))
}

/// The session that a request names.
fn session(request: &Request<'_>) -> Result<String, ErrorBody> {
    Ok(params::<OneSession>(request)?.session)
}

fn pong(ping: &Ping) -> Pong {
    Pong {
        ts: ping.ts,
        now: clock::unix_ms(),
    }
}

/// Reads parameters; absent ones are an empty object.
fn params<T: DeserializeOwned>(request: &Request<'_>) -> Result<T, ErrorBody> {
    let text = request.params.map_or("{}", |params| params.get());
    serde_json::from_str(text).map_err(|error| {
        // The parser's message has names and places, and of the client's values only what this client sent itself.
        ErrorBody::new(Code::BadFrame, error.to_string())
            .details(serde_json::json!({ "param": "params" }))
    })
}

async fn watch(caller: &Caller<'_>, id: &str, params: Sub) -> Result<(), ErrorBody> {
    let Some(conn) = caller.conn else {
        return Err(ErrorBody::new(
            Code::BadFrame,
            "sub needs a socket or an event stream",
        ));
    };
    if params.after.is_some() {
        conn.resumes.fetch_add(1, Ordering::Relaxed);
        caller.core.telemetry.figures.resumes.inc();
    }
    let session = params.session.clone();
    let command = Command::Watch {
        outbox: Arc::clone(&conn.outbox),
        id: id.to_owned(),
        params,
        user: caller.user(),
    };
    sessions::send(caller.core, &session, command).await
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
