//! The web gateway as clients see it, against a scripted proxy.

mod branches;
mod client;
mod debug;
mod failures;
mod fake;
mod fallback;
mod http;
mod lifecycle;
mod limits;
mod login;
mod properties;
mod queue;
mod rest;
mod run;
mod security;
mod stop;
mod watch;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Chat, Settings};
use client::Client;
use fake::{Call, Fake};
use sluicegate_config::{Secret, User};

/// No test waits longer for anything.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tokens of two users.
const ANN: &str = "ann-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdef";

/// A gateway with its proxy and its folder.
struct World {
    chat: Option<Chat>,
    fake: Fake,
    settings: Settings,
    _folder: tempfile::TempDir,
}

impl World {
    /// A gateway with settings for tests: two users, ample rates.
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with changed settings.
    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let fake = Fake::start().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::new();
        settings.listen = ([127, 0, 0, 1], 0).into();
        settings.endpoint = fake.url();
        settings.admin = Some(fake.url());
        settings.store = folder.path().join("chat.db");
        settings.users = vec![user("ann", ANN, true), user("bob", BOB, false)];
        settings.limits.sends_per_minute = 10_000;
        settings.sockets.frames_per_second = 10_000;
        settings.limits.runs_per_user = 50;
        settings.limits.waiting_per_user = 50;
        change(&mut settings);
        let chat = Chat::start(settings.clone(), &[])
            .await
            .expect("the gateway starts");
        Self {
            chat: Some(chat),
            fake,
            settings,
            _folder: folder,
        }
    }

    fn chat(&self) -> &Chat {
        self.chat.as_ref().expect("the gateway runs")
    }

    /// Host and port of the gateway.
    fn host(&self) -> String {
        self.chat().address().to_string()
    }

    async fn ann(&self) -> Client {
        Client::connect(&self.host(), ANN).await
    }

    async fn bob(&self) -> Client {
        Client::connect(&self.host(), BOB).await
    }

    /// Ends the gateway as it should be ended, and starts another one over the same database.
    async fn restart(&mut self, deadline: Duration) {
        self.stop(deadline).await;
        self.begin().await;
    }

    async fn stop(&mut self, deadline: Duration) {
        if let Some(chat) = self.chat.take() {
            chat.shutdown(deadline).await;
        }
    }

    async fn begin(&mut self) {
        self.chat = Some(
            Chat::start(self.settings.clone(), &[])
                .await
                .expect("the gateway starts"),
        );
    }
}

fn user(name: &str, token: &str, debug: bool) -> User {
    User {
        name: name.to_owned(),
        token: Secret::new(token.to_owned()),
        debug,
    }
}

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < TIMEOUT, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client with a session in which a run is under way, and the proxy's side of that run.
async fn running(world: &World) -> (Client, String, Value, Call) {
    let mut ann = world.ann().await;
    let sent = ann.send(None, "question").await;
    let call = world.fake.call().await;
    let session = sent["session"].as_str().expect("a session").to_owned();
    ann.sub(&session).await;
    (ann, session, sent, call)
}

/// A client with a session in which one question was answered.
async fn answered(world: &World, question: &str, answer: &str) -> (Client, String) {
    let mut ann = world.ann().await;
    let session = ask(world, &mut ann, None, question, answer).await;
    (ann, session)
}

/// Asks and lets the proxy answer; returns the session.
async fn ask(
    world: &World,
    client: &mut Client,
    session: Option<&str>,
    question: &str,
    answer: &str,
) -> String {
    let sent = client.send(session, question).await;
    let session = sent["session"].as_str().expect("a session").to_owned();
    client.sub(&session).await;
    world.fake.call().await.answer(answer).await;
    client
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    session
}

/// Parameters of a message with a fresh id.
fn message(session: Option<&str>, text: &str) -> Value {
    json!({ "session": session, "cid": super::id::new("cid"), "text": text })
}
