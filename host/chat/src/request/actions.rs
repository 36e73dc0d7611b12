//! What the requests do, one function each.

use std::sync::Arc;
use std::time::Duration;

use crate::caller::Caller;
use crate::session as sessions;
use crate::session::command::{Command, QueueOp, Reply};
use crate::store::session::SessionRow;
use crate::store::{self, message, search, session};
use crate::wire::debug::Card;
use crate::wire::event::{Notice, RunKind};
use crate::wire::params::{
    Accepted, Again, CreateSession, Done, Empty, Highlight, Highlighted, ListSessions,
    MessagePayload, MessagesPage, Models, OneMessage, Options, PageMessages, ReadSession,
    SelectBranch, Selected, Send, Sent, SessionPatch, SessionPayload, Stop, Stopped, Visible,
};
use crate::wire::session::{Session, Sessions};
use crate::wire::{self, Code, ErrorBody, bad_param, not_found};
use crate::{debug, highlight, id};
use sluicegate_telemetry::clock;

/// Messages of a page: the most, and the default.
const PAGE: (usize, usize) = (200, 50);
/// How long a search may take.
const SEARCH: Duration = Duration::from_millis(400);

impl Caller<'_> {
    pub(super) fn user(&self) -> String {
        self.login.user.id.clone()
    }

    async fn ask<T>(
        &self,
        session: &str,
        command: impl FnOnce(String, Reply<T>) -> Command,
    ) -> Result<T, ErrorBody> {
        let user = self.user();
        sessions::ask(self.core, session, |reply| command(user, reply)).await
    }

    pub(crate) async fn list(&self, params: ListSessions) -> Result<Sessions, ErrorBody> {
        let user = self.user();
        let query = params.q.clone().unwrap_or_default();
        let found = self.core.store.read(move |c| match query.trim() {
            "" => session::list(c, &user, &params),
            words => search::search(c, &user, words, SEARCH),
        });
        let mut sessions = found.await?;
        self.core.live.mark_running(&mut sessions.sessions);
        Ok(sessions)
    }

    pub(crate) async fn get(&self, session: String) -> Result<SessionPayload, ErrorBody> {
        let user = self.user();
        let mut session = self
            .core
            .store
            .read(move |c| session::find(c, &user, &session))
            .await?
            .ok_or_else(|| not_found("session"))?
            .session;
        self.core.live.mark_running([&mut session]);
        Ok(SessionPayload { session })
    }

    pub(crate) async fn create(&self, params: CreateSession) -> Result<SessionPayload, ErrorBody> {
        if self.core.is_stopping() {
            return Err(self.core.stopping_error());
        }
        let patch = SessionPatch {
            title: params.title.map(Some),
            model: params.model.map(Some),
            system: params.system.map(Some),
            ..SessionPatch::default()
        };
        sessions::check(&patch)?;
        let mut row = SessionRow::new(id::new("ses"), self.user(), clock::unix_ms());
        sessions::apply(patch, &mut row);
        let session = row.session.clone();
        self.core
            .store
            .write(move |c| session::insert(c, &row))
            .await?;
        self.broadcast_summary(&session);
        Ok(SessionPayload { session })
    }

    fn broadcast_summary(&self, session: &Session) {
        let notice = Notice::SessionsChanged {
            session: Box::new(session.clone()),
        };
        self.core
            .connections
            .to_user(&self.login.user.id, &wire::text(&notice).into());
    }

    pub(crate) async fn patch(
        &self,
        session: &str,
        patch: SessionPatch,
        at: Option<u64>,
    ) -> Result<SessionPayload, ErrorBody> {
        let session = self
            .ask(session, |user, reply| Command::Patch {
                patch,
                at,
                user,
                reply,
            })
            .await?;
        Ok(SessionPayload { session })
    }

    pub(crate) async fn trash(
        &self,
        session: &str,
        deleted: bool,
    ) -> Result<SessionPayload, ErrorBody> {
        let session = self
            .ask(session, |user, reply| Command::Trash {
                deleted,
                user,
                reply,
            })
            .await?;
        Ok(SessionPayload { session })
    }

    pub(super) fn show(&self, params: &Visible) -> Empty {
        if let Some(conn) = self.conn {
            conn.outbox.show(params.visible);
        }
        Empty {}
    }

    pub(super) async fn unwatch(&self, session: &str) -> Result<Empty, ErrorBody> {
        if let Some(conn) = self.conn {
            let conn = conn.outbox.conn.clone();
            sessions::send(self.core, session, Command::Unwatch { conn }).await?;
        }
        Ok(Empty {})
    }

    pub(super) async fn read(&self, read: ReadSession) -> Result<SessionPayload, ErrorBody> {
        let seq = read.seq;
        let session = self
            .ask(&read.session, |user, reply| Command::Read {
                seq,
                user,
                reply,
            })
            .await?;
        Ok(SessionPayload { session })
    }

    pub(super) async fn queue(&self, session: &str, change: QueueOp) -> Result<Done, ErrorBody> {
        let seq = self
            .ask(session, |user, reply| Command::Queue {
                change,
                user,
                reply,
            })
            .await?;
        Ok(Done { seq })
    }

    pub(super) async fn select(&self, select: SelectBranch) -> Result<Selected, ErrorBody> {
        let leaf = select.leaf;
        let (leaf, seq) = self
            .ask(&select.session, |user, reply| Command::Select {
                leaf,
                user,
                reply,
            })
            .await?;
        Ok(Selected { leaf, seq })
    }

    pub(crate) async fn page(&self, params: PageMessages) -> Result<MessagesPage, ErrorBody> {
        let user = self.user();
        let limit = params.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
        let found = self.core.store.read(move |c| {
            let Some(row) = session::find(c, &user, &params.session)? else {
                return Ok(None);
            };
            let leaf = params.leaf.or(row.session.leaf);
            message::page(
                c,
                &params.session,
                leaf.as_deref(),
                params.before.as_deref(),
                limit,
            )
            .map(Some)
        });
        let (mut messages, more) = found.await?.ok_or_else(|| not_found("session"))?;
        self.core.live.overlay(&mut messages);
        Ok(MessagesPage { messages, more })
    }

    pub(crate) async fn message(&self, params: OneMessage) -> Result<MessagePayload, ErrorBody> {
        let user = self.user();
        let found =
            self.core
                .store
                .read(move |c| match session::find(c, &user, &params.session)? {
                    Some(_) => message::find(c, &params.session, &params.message),
                    None => Ok(None),
                });
        let mut message = found.await?.ok_or_else(|| not_found("message"))?;
        let stored = wire::message::Position {
            text: message.text.len(),
            reasoning: message.reasoning.len(),
        };
        let to = self.core.live.overlay([&mut message]).unwrap_or(stored);
        Ok(MessagePayload { message, to })
    }

    /// Sends a message, or handles a command that was sent as one.
    pub(crate) async fn send(&self, send: Send) -> Result<Sent, ErrorBody> {
        if let Some(args) = command(&send.text) {
            let card = self.command("debug", args).await?;
            return Ok(Sent {
                session: send.session,
                message: None,
                reply: None,
                run: None,
                request_id: None,
                seq: 0,
                status: Accepted::Card,
                dup: false,
                card: Some(card),
            });
        }
        if !id::plausible(&send.cid) {
            return Err(bad_param("cid", "1 to 64 letters, digits, `-` and `_`"));
        }
        if send.text.trim().is_empty() {
            return Err(bad_param("text", "the message is empty"));
        }
        let most = self.core.settings.limits.message_chars;
        if send.text.chars().count() > most {
            let details = serde_json::json!({ "param": "text", "limit": most });
            return Err(ErrorBody::new(Code::TooLarge, "the message is too long").details(details));
        }
        check_options(&send.options, send.model.as_deref())?;
        match send.session.clone() {
            Some(session) => self.send_to(&session, send).await,
            None => self.send_to_new(send).await,
        }
    }

    async fn send_to(&self, session: &str, send: Send) -> Result<Sent, ErrorBody> {
        let command = |user, reply| Command::Send {
            send: Box::new(send),
            user,
            reply,
        };
        self.ask(session, command).await
    }

    /// Sends the first message of a session, which creates the session.
    async fn send_to_new(&self, send: Send) -> Result<Sent, ErrorBody> {
        // Cheap for a message that was sent again. If two come at the same time, the database decides.
        let (user, cid) = (self.user(), send.cid.clone());
        let known = self
            .core
            .store
            .read(move |c| store::run::known(c, &user, &cid))
            .await?;
        if let Some(known) = known {
            return self.send_to(&known.session, send).await;
        }
        let user = self.user();
        let row = SessionRow::new(id::new("ses"), user.clone(), clock::unix_ms());
        let command = |reply| Command::Send {
            send: Box::new(send),
            user,
            reply,
        };
        sessions::ask_new(self.core, row, command).await
    }

    pub(super) async fn again(&self, kind: RunKind, again: Again) -> Result<Sent, ErrorBody> {
        if !id::plausible(&again.cid) {
            return Err(bad_param("cid", "1 to 64 letters, digits, `-` and `_`"));
        }
        check_options(&again.options, again.model.as_deref())?;
        let session = again.session.clone();
        self.ask(&session, |user, reply| Command::Again {
            kind,
            again,
            user,
            reply,
        })
        .await
    }

    pub(crate) async fn stop(&self, stop: Stop) -> Result<Stopped, ErrorBody> {
        let session = match (&stop.session, &stop.run) {
            (Some(session), _) => session.clone(),
            (None, Some(run)) => match self.core.live.session_of(run) {
                Some(session) => session,
                // Over already, or unknown: stopping twice is not an error.
                None => return Ok(Stopped { stopping: false }),
            },
            (None, None) => return Err(bad_param("run", "name a run or a session")),
        };
        let stopping = self
            .ask(&session, |user, reply| Command::Stop {
                run: stop.run,
                user,
                reply,
            })
            .await?;
        Ok(Stopped { stopping })
    }

    pub(crate) async fn highlight(&self, params: Highlight) -> Result<Arc<Highlighted>, ErrorBody> {
        if params.text.len() > highlight::MOST {
            let details = serde_json::json!({ "limit": highlight::MOST });
            return Err(
                ErrorBody::new(Code::TooLarge, "the code is too long to colour").details(details),
            );
        }
        let core = Arc::clone(self.core);
        let work = tokio::task::spawn_blocking(move || {
            core.highlighter.highlight(&params.lang, &params.text)
        });
        work.await
            .map_err(|_| ErrorBody::new(Code::Internal, "the grammar failed"))
    }

    pub(crate) fn models(&self) -> Models {
        let (health, models) = self.core.health.now();
        Models { models, health }
    }

    pub(crate) async fn command(&self, name: &str, args: Option<&str>) -> Result<Card, ErrorBody> {
        match name {
            "debug" => debug::card(self, args.map(str::trim).unwrap_or_default()).await,
            _ => Err(bad_param("name", "the only command is `debug`")),
        }
    }
}

/// The arguments of `/debug`, if the first line is that command.
fn command(text: &str) -> Option<Option<&str>> {
    let rest = text.lines().next()?.strip_prefix("/debug")?;
    match rest.trim() {
        "" => Some(None),
        args @ ("json" | "watch") if rest.starts_with(' ') => Some(Some(args)),
        args if rest.starts_with(' ') && args.starts_with("req_") && id::plausible(args) => {
            Some(Some(args))
        }
        _ => None,
    }
}

fn check_options(options: &Options, model: Option<&str>) -> Result<(), ErrorBody> {
    let outside =
        |value: Option<f64>, most: f64| value.is_some_and(|value| !(0.0..=most).contains(&value));
    if outside(options.temperature, 2.0) {
        return Err(bad_param("temperature", "0 to 2"));
    }
    if outside(options.top_p, 1.0) {
        return Err(bad_param("top_p", "0 to 1"));
    }
    if options.max_tokens == Some(0) {
        return Err(bad_param("max_tokens", "at least 1"));
    }
    let efforts = ["none", "low", "medium", "high"];
    if options
        .reasoning_effort
        .as_deref()
        .is_some_and(|effort| !efforts.contains(&effort))
    {
        return Err(bad_param("reasoning_effort", "none, low, medium or high"));
    }
    if model.is_some_and(|model| model.is_empty() || model.len() > 200) {
        return Err(bad_param("model", "1 to 200 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_itself_is_a_command() {
        assert_eq!(command("/debug"), Some(None));
        assert_eq!(command("/debug \nmore"), Some(None));
        assert_eq!(command("/debug json"), Some(Some("json")));
        assert_eq!(command("/debug  watch"), Some(Some("watch")));
        assert_eq!(command("/debug req_k3f9q2"), Some(Some("req_k3f9q2")));
        for text in [
            "",
            "debug",
            "//debug",
            " /debug",
            "/debugjson",
            "/debug something",
            "/debug req_../x",
            "a\n/debug",
        ] {
            assert_eq!(command(text), None, "{text:?}");
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let bad = |json: &str| {
            let options = serde_json::from_str(json).expect("options");
            check_options(&options, None).expect_err("refused").details["param"].clone()
        };
        assert_eq!(bad(r#"{"temperature":2.1}"#), "temperature");
        assert_eq!(bad(r#"{"top_p":-1}"#), "top_p");
        assert_eq!(bad(r#"{"max_tokens":0}"#), "max_tokens");
        assert_eq!(bad(r#"{"reasoning_effort":"much"}"#), "reasoning_effort");
        assert!(check_options(&Options::default(), Some("")).is_err());
        assert!(check_options(&Options::default(), Some("a/b:7b")).is_ok());
    }
}
