//! What all connections, sessions and runs of one gateway share.
//!
//! The hub finds or starts the actor of a session, knows who is connected, and holds the limits. It has no rules of its own about
//! sessions (`session`), runs (`run`) or frames (`request`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::{Auth, Login};
use super::bucket::Bucket;
use super::buffer::Buffer;
use super::guard::Guard;
use super::health::Health;
use super::highlight::Highlighter;
use super::outbox::{Frame, Outbox, Room, Share};
use super::page::Pages;
use super::session::ask::{Ask, Reply};
use super::session::{self, Actor};
use super::settings::Settings;
use super::slots::Slots;
use super::store::session::SessionRow;
use super::store::{self, Store};
use super::telemetry::{Gauges, Telemetry};
use super::upstream::Upstream;
use super::wire::message::Position;
use super::wire::params::{Heartbeat, Limits, Server, Welcome};
use super::wire::session::{Reach, Session};
use super::wire::{Close, Code, ErrorBody, not_found};

/// How long a deleted session can be taken back.
pub(crate) const UNDO_DAYS: u32 = 30;
/// The same in milliseconds.
pub(crate) const UNDO_MS: u64 = UNDO_DAYS as u64 * 24 * 3600 * 1000;
/// WebSocket pings; the browser's network stack answers them even while the page's timers sleep.
pub(crate) const PING: Duration = Duration::from_secs(20);
/// A `tick` after so much silence.
pub(crate) const TICK: Duration = Duration::from_secs(15);
/// Bytes of code that are coloured at most.
pub(crate) const HIGHLIGHT_BYTES: usize = 200 * 1024;

/// The shared state of a gateway.
pub(crate) struct Hub {
    pub settings: Settings,
    pub store: Store,
    pub epoch: String,
    pub upstream: Upstream,
    pub admin: Option<Upstream>,
    pub slots: Arc<Slots>,
    pub auth: Auth,
    pub guard: Guard,
    pub pages: Pages,
    pub health: Health,
    pub highlighter: Highlighter,
    pub telemetry: Telemetry,
    pub tracker: TaskTracker,
    /// No new connections and messages.
    pub stopping: CancellationToken,
    /// Runs end now.
    pub interrupted: CancellationToken,
    /// Everything ends now.
    pub closed: CancellationToken,
    pub started: Instant,
    sessions: Mutex<HashMap<String, Entry>>,
    /// Held while a session's row is read and its actor made, so that no session has two.
    loading: tokio::sync::Mutex<()>,
    conns: Mutex<HashMap<String, Arc<Conn>>>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    sends: Mutex<HashMap<String, Bucket>>,
    /// What the connections of each user hold, while there are any.
    shares: Mutex<HashMap<String, Weak<Share>>>,
    /// By the message that it writes.
    live: Mutex<HashMap<String, LiveRun>>,
    next_conn: AtomicU64,
}

struct Entry {
    mailbox: mpsc::Sender<Ask>,
    /// Requests that were given to it and not taken yet: it must not end meanwhile.
    pending: usize,
}

struct LiveRun {
    session: String,
    buffer: Arc<Buffer>,
}

/// One connected client.
#[derive(Debug)]
pub(crate) struct Conn {
    pub outbox: Arc<Outbox>,
    pub login: Login,
    /// Microseconds of the last ping; 0 if unknown.
    pub rtt_us: AtomicU64,
    /// Times that it resumed a session.
    pub resumes: AtomicU32,
    /// Frames that it may send.
    pub frames: Mutex<Bucket>,
}

/// What a hub is made of; see the fields of [`Hub`].
pub(crate) struct Parts {
    pub settings: Settings,
    pub store: Store,
    pub epoch: String,
    pub upstream: Upstream,
    pub admin: Option<Upstream>,
    pub auth: Auth,
    pub guard: Guard,
    pub pages: Pages,
}

impl Hub {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let limits = &parts.settings.limits;
        let slots = Slots::new(limits.runs, limits.runs_per_user, limits.waiting_per_user);
        Arc::new(Self {
            slots,
            settings: parts.settings,
            store: parts.store,
            epoch: parts.epoch,
            upstream: parts.upstream,
            admin: parts.admin,
            auth: parts.auth,
            guard: parts.guard,
            pages: parts.pages,
            health: Health::default(),
            highlighter: Highlighter::default(),
            telemetry: Telemetry::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            closed: CancellationToken::new(),
            started: Instant::now(),
            sessions: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            conns: Mutex::default(),
            addresses: Mutex::default(),
            sends: Mutex::default(),
            shares: Mutex::default(),
            live: Mutex::default(),
            next_conn: AtomicU64::new(1),
        })
    }

    /// Asks a session's actor and waits for its answer.
    ///
    /// # Errors
    /// What the actor answered; `NOT_FOUND` if there is no such session.
    pub(crate) async fn ask<T>(
        self: &Arc<Self>,
        session: &str,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, ErrorBody> {
        let (reply, answer) = oneshot::channel();
        self.give(session, ask(Reply(reply))).await?;
        answer.await.map_err(|_| self.lost())?
    }

    /// The same for a session that does not exist yet; its first message makes it.
    pub(crate) async fn ask_new<T>(
        self: &Arc<Self>,
        row: SessionRow,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, ErrorBody> {
        let (reply, answer) = oneshot::channel();
        let session = row.session.id.clone();
        let mailbox = self.start(row, false, Vec::new());
        mailbox
            .send(ask(Reply(reply)))
            .await
            .map_err(|_| self.lost())?;
        tracing::trace!(session, "chat: a new session");
        answer.await.map_err(|_| self.lost())?
    }

    /// Gives a session's actor something to do, starting the actor if needed.
    pub(crate) async fn give(self: &Arc<Self>, session: &str, ask: Ask) -> Result<(), ErrorBody> {
        let mailbox = match self.reserve(session) {
            Some(mailbox) => mailbox,
            None => self.load(session).await?,
        };
        mailbox.send(ask).await.map_err(|_| self.lost())
    }

    /// The actor's mailbox, with one more request announced.
    fn reserve(&self, session: &str) -> Option<mpsc::Sender<Ask>> {
        let mut sessions = lock(&self.sessions);
        // An actor that broke leaves a closed mailbox behind; the next one starts from the database.
        if sessions
            .get(session)
            .is_some_and(|entry| entry.mailbox.is_closed())
        {
            sessions.remove(session);
        }
        let entry = sessions.get_mut(session)?;
        entry.pending += 1;
        Some(entry.mailbox.clone())
    }

    async fn load(self: &Arc<Self>, session: &str) -> Result<mpsc::Sender<Ask>, ErrorBody> {
        let _alone = self.loading.lock().await;
        if let Some(mailbox) = self.reserve(session) {
            return Ok(mailbox);
        }
        let id = session.to_owned();
        let now = super::clock::now_ms();
        let loaded = self.store.write(move |c| {
            // Runs of an actor that broke; at the start of the gateway all others were ended.
            store::run::repair(c, Some(&id), now)?;
            let row = store::session::any(c, &id)?;
            let queue = store::run::waiting(c, &id)?;
            Ok(row.map(|row| (row, queue)))
        });
        let (row, queue) = loaded.await?.ok_or_else(|| not_found("session"))?;
        let queue = queue
            .into_iter()
            .filter_map(|(_, json, at)| Some((serde_json::from_str(&json).ok()?, at)));
        Ok(self.start(row, true, queue.collect()))
    }

    fn start(
        self: &Arc<Self>,
        row: SessionRow,
        stored: bool,
        queue: Vec<(super::wire::params::Send, u64)>,
    ) -> mpsc::Sender<Ask> {
        let (mailbox, asks) = mpsc::channel(session::MAILBOX);
        let id = row.session.id.clone();
        let actor = Actor::new(Arc::clone(self), row, stored, queue, asks);
        lock(&self.sessions).insert(
            id,
            Entry {
                mailbox: mailbox.clone(),
                pending: 1,
            },
        );
        self.tracker.spawn(actor.run());
        mailbox
    }

    /// An actor took a request.
    pub(crate) fn taken(&self, session: &str) {
        if let Some(entry) = lock(&self.sessions).get_mut(session) {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    /// Lets an actor end, unless somebody is about to ask it something.
    pub(crate) fn retire(&self, session: &str) -> bool {
        let mut sessions = lock(&self.sessions);
        let idle = sessions.get(session).is_none_or(|entry| entry.pending == 0);
        if idle {
            sessions.remove(session);
        }
        idle
    }

    /// A run tells its session's actor, which is there as long as its run is.
    pub(crate) async fn report(self: &Arc<Self>, session: &str, ask: Ask) {
        if let Some(mailbox) = self.reserve(session)
            && mailbox.send(ask).await.is_err()
        {
            tracing::error!(session, "chat: a run has lost its session");
        }
    }

    fn lost(&self) -> ErrorBody {
        if self.is_stopping() {
            return self.stopping_error();
        }
        ErrorBody::new(Code::Internal, "the session's worker is gone; try again")
    }

    /// Whether the gateway stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// What a client gets while the gateway stops.
    pub(crate) fn stopping_error(&self) -> ErrorBody {
        ErrorBody::new(Code::ShuttingDown, "the gateway is stopping").after(Duration::from_secs(2))
    }

    /// Takes one message from a user's rate.
    pub(crate) fn take_send(&self, user: &str) -> Result<(), ErrorBody> {
        let now = Instant::now();
        let mut sends = lock(&self.sends);
        if sends.len() > 10_000 {
            sends.retain(|_, bucket| !bucket.full(now));
        }
        let per_minute = self.settings.limits.sends_per_minute;
        let fresh = || Bucket::new(per_minute, per_minute, Duration::from_secs(60), now);
        sends
            .entry(user.to_owned())
            .or_insert_with(fresh)
            .take(now)
            .map_err(|wait| {
                self.telemetry.limited.fetch_add(1, Ordering::Relaxed);
                ErrorBody::new(Code::RateLimited, "too many messages").after(wait)
            })
    }

    /// Gives it back: the message was refused for another reason.
    pub(crate) fn give_back_send(&self, user: &str) {
        if let Some(bucket) = lock(&self.sends).get_mut(user) {
            bucket.give_back();
        }
    }

    /// A run begins to write a message.
    pub(crate) fn begin_run(&self, session: &str, buffer: &Arc<Buffer>) {
        let run = LiveRun {
            session: session.to_owned(),
            buffer: Arc::clone(buffer),
        };
        lock(&self.live).insert(buffer.message.clone(), run);
    }

    /// No run writes that message any more.
    pub(crate) fn end_run(&self, message: &str) {
        lock(&self.live).remove(message);
    }

    /// The session whose run that is, if it is under way or waits.
    pub(crate) fn session_of(&self, run: &str) -> Option<String> {
        lock(&self.live)
            .values()
            .find(|live| live.buffer.run == run)
            .map(|live| live.session.clone())
    }

    /// Puts the text that there is so far into messages that runs write. Gives the position of the last one.
    pub(crate) fn overlay<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a mut super::wire::message::Message>,
    ) -> Option<Position> {
        let live = lock(&self.live);
        let mut last = None;
        for message in messages {
            if let Some(run) = live.get(&message.id) {
                let (text, reasoning) = run.buffer.texts_now();
                last = Some(Position {
                    text: text.len(),
                    reasoning: reasoning.len(),
                });
                message.text = text;
                message.reasoning = reasoning;
            }
        }
        last
    }

    /// Marks the sessions in which something runs.
    pub(crate) fn mark_running<'a>(&self, sessions: impl IntoIterator<Item = &'a mut Session>) {
        let live = lock(&self.live);
        for session in sessions {
            session.running = live.values().any(|run| run.session == session.id);
        }
    }

    /// A name for a new connection.
    fn conn_id(&self) -> String {
        format!("c_{}", self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    /// An outbox for a new connection of a user.
    pub(crate) fn outbox(&self, user: &str) -> Arc<Outbox> {
        let limits = &self.settings.limits;
        let room = Room {
            frames: limits.outbox,
            bytes: limits.outbox_bytes,
        };
        Outbox::new(self.conn_id(), user.to_owned(), room, self.share(user))
    }

    /// What all connections of a user hold together.
    fn share(&self, user: &str) -> Arc<Share> {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.get(user).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Share::new(self.settings.limits.outbox_bytes_per_user);
        shares.insert(user.to_owned(), Arc::downgrade(&share));
        share
    }

    /// How many bytes the connections of a user hold.
    #[cfg(test)]
    pub(crate) fn held(&self, user: &str) -> usize {
        self.share(user).taken()
    }

    /// Adds a connection.
    pub(crate) fn join(&self, conn: &Arc<Conn>) {
        self.telemetry.opened.fetch_add(1, Ordering::Relaxed);
        lock(&self.conns).insert(conn.outbox.conn.clone(), Arc::clone(conn));
    }

    /// Removes it. Actors and buffers notice by themselves that it is gone.
    pub(crate) fn leave(&self, conn: &str) {
        lock(&self.conns).remove(conn);
    }

    /// The connection of that name, if it is of this login.
    pub(crate) fn conn(&self, id: &str, login: &Login) -> Option<Arc<Conn>> {
        lock(&self.conns)
            .get(id)
            .filter(|conn| conn.login.token == login.token)
            .cloned()
    }

    /// Sends a frame to all connections of a user.
    pub(crate) fn to_user(&self, user: &str, frame: &Frame) {
        for conn in lock(&self.conns)
            .values()
            .filter(|conn| conn.outbox.user == user)
        {
            conn.outbox.push(frame.clone());
        }
    }

    /// Sends a frame to all connections.
    pub(crate) fn to_all(&self, frame: &Frame) {
        for conn in lock(&self.conns).values() {
            conn.outbox.push(frame.clone());
        }
    }

    /// Does something with each connection.
    pub(crate) fn each_conn(&self, act: impl Fn(&Conn)) {
        lock(&self.conns).values().for_each(|conn| act(conn));
    }

    /// Closes all connections of a login that has ended.
    pub(crate) fn close_login(&self, token: &str) {
        self.each_conn(|conn| {
            if conn.login.token == token {
                conn.outbox.cut(Close::Unauthenticated);
            }
        });
    }

    /// Counts a socket of an address, until the guard is dropped.
    ///
    /// # Errors
    /// There are too many from that address, or in all.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, ErrorBody> {
        let limits = &self.settings.limits;
        let mut addresses = lock(&self.addresses);
        let all: usize = addresses.values().sum();
        let count = addresses.entry(address).or_default();
        if *count >= limits.connections_per_address || all >= limits.connections {
            self.telemetry.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ErrorBody::new(Code::Overloaded, "too many connections")
                .after(Duration::from_secs(10)));
        }
        *count += 1;
        Ok(Admitted {
            hub: Arc::clone(self),
            address,
        })
    }

    /// What a connection is told first.
    pub(crate) fn welcome(&self, conn: &Conn) -> Welcome {
        let limits = &self.settings.limits;
        let (health, models) = self.health.now();
        Welcome {
            v: super::wire::VERSION,
            conn: conn.outbox.conn.clone(),
            epoch: self.epoch.clone(),
            user: conn.login.user.clone(),
            server: Server {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build: self.pages.build(),
            },
            limits: Limits {
                frame_bytes: limits.frame_bytes,
                message_chars: limits.message_chars,
                sends_per_min: limits.sends_per_minute,
                runs_per_user: limits.runs_per_user,
                queue: limits.queue,
                highlight_bytes: HIGHLIGHT_BYTES,
                undo_days: UNDO_DAYS,
            },
            heartbeat: Heartbeat {
                ping_ms: super::clock::millis(PING),
                tick_ms: super::clock::millis(TICK),
            },
            models,
            health,
        }
    }

    /// The model to ask where nothing was chosen.
    pub(crate) async fn default_model(&self) -> Option<String> {
        if let Some(model) = self.health.default_model() {
            return Some(model);
        }
        self.health.probe(self).await;
        self.health.default_model()
    }

    /// Why no model is known.
    pub(crate) fn no_model(&self) -> ErrorBody {
        use super::wire::Layer;
        let (health, _) = self.health.now();
        match (health.proxy, health.model) {
            (Reach::Up, Reach::Up) => {
                ErrorBody::new(Code::ModelNotFound, "the model server has no model")
                    .layer(Layer::Model)
            }
            (Reach::Up, Reach::Down | Reach::Unknown) => ErrorBody::new(
                Code::UpstreamUnreachable,
                "the model server does not answer",
            )
            .layer(Layer::Model),
            (Reach::Down | Reach::Unknown, _) => {
                ErrorBody::new(Code::UpstreamUnreachable, "the proxy does not answer")
                    .layer(Layer::Proxy)
            }
        }
    }

    /// Waits until no session has a run or a request left, at most so long.
    pub(crate) async fn settled(&self, most: Duration) {
        let until = Instant::now() + most;
        let busy = || {
            !lock(&self.live).is_empty()
                || lock(&self.sessions).values().any(|entry| entry.pending > 0)
        };
        while busy() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Connections, sessions in memory.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (lock(&self.conns).len(), lock(&self.sessions).len())
    }

    /// All figures, as [`Telemetry::encode`] writes them.
    pub(crate) fn metrics(&self) -> String {
        self.telemetry.encode(&self.gauges())
    }

    /// Figures of the moment.
    pub(crate) fn gauges(&self) -> Gauges {
        let (connections, sessions) = self.counts();
        let (running, waiting) = self.slots.load();
        let (health, _) = self.health.now();
        Gauges {
            connections,
            sessions,
            running,
            waiting,
            proxy_up: health.proxy == Reach::Up,
            model_up: health.model == Reach::Up,
            store_p95: self.store.write_p95(),
        }
    }
}

/// A counted socket.
pub(crate) struct Admitted {
    hub: Arc<Hub>,
    address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = lock(&self.hub.addresses);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
