//! Messages of programs: the answer is one JSON document at the end, or frames as they come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use super::Call;
use crate::connections::Conn;
use crate::core::Core;
use crate::outbox::{self, Next};
use crate::response::{self, Body};
use crate::session as sessions;
use crate::session::command::Command;
use crate::wire::ErrorBody;
use crate::wire::params::{Accepted, OneMessage, Send, Sent, Sub, When};
use crate::wire::rest::{Answered, PostMessage};
use crate::{id, stream as events};

impl Call<'_> {
    /// Sends a program's message, and waits for the answer or streams the session's frames until the run has ended.
    pub(super) async fn message(
        &self,
        session: &str,
        post: PostMessage,
    ) -> Result<Response<Body>, ErrorBody> {
        let key = self
            .headers
            .get("idempotency-key")
            .and_then(|key| key.to_str().ok());
        let cid = key.map_or_else(|| id::new("cid"), str::to_owned);
        let conn = self.core.connections.join(self.login.clone(), true, |_| {});
        let mut guest = Guest {
            core: Arc::clone(self.core),
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
        let watch = Command::Watch {
            outbox,
            id: "sub".to_owned(),
            params,
            user,
        };
        sessions::send(self.core, session, watch).await?;
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
        let sent = self.caller().send(send).await?;
        let Some(run) = sent.run.clone().filter(|_| sent.status != Accepted::Card) else {
            return Ok(response::json(
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
        let answer = self.caller().message(message).await?.message;
        Ok(response::json(
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
    core: Arc<Core>,
    conn: Arc<Conn>,
    run: String,
    /// The run's end was seen.
    over: bool,
}

impl Guest {
    /// The next frame; `None` after the run's end.
    async fn next(&mut self) -> Option<outbox::Frame> {
        while !self.over {
            match self.conn.outbox.next(Instant::now()) {
                Next::Send(frame) => {
                    self.over = self.ends(frame.beginning());
                    return Some(frame);
                }
                Next::Close(_) => return None,
                Next::Wait(until) => {
                    let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
                    tokio::select! {
                        () = self.conn.outbox.ready() => {}
                        () = tokio::time::sleep_until(until) => {}
                        () = self.core.closed.cancelled() => return None,
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
        self.core.connections.leave(&self.conn.outbox.conn);
    }
}

fn streamed(guest: Guest) -> Response<Body> {
    let frames = stream::unfold(guest, |mut guest| async move {
        let frame = guest.next().await?;
        Some((frame, guest))
    });
    events::events_response(events::body(frames))
}
