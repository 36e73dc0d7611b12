//! What all parts of the web gateway share: settings, the database, the proxy, limits, and who is connected.
//!
//! It has no rules of its own about sessions (`session`), runs (`run`) or requests (`request`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::{Auth, Login};
use super::bucket::Bucket;
use super::connections::{Conn, Connections, PING, TICK};
use super::directory::Directory;
use super::health::Health;
use super::highlight::{self, Highlighter};
use super::lag::Lag;
use super::live::LiveRuns;
use super::origin::AllowList;
use super::page::Pages;
use super::proxy::Client;
use super::settings::Settings;
use super::slots::Slots;
use super::store::Store;
use super::store::session::UNDO_DAYS;
use super::telemetry::{Gauges, Telemetry};
use super::wire::params::{Heartbeat, Limits, Server, Welcome};
use super::wire::session::Reach;
use super::wire::{self, Code, ErrorBody, Layer};
use sluicegate_telemetry::clock;

/// The shared state of one web gateway.
pub(crate) struct Core {
    pub settings: Settings,
    pub store: Store,
    /// Identifies this database: positions in another one are meaningless here.
    pub epoch: String,
    pub proxy: Client,
    /// The proxy's admin interface.
    pub admin: Option<Client>,
    pub slots: Arc<Slots>,
    pub auth: Auth,
    pub allow_list: AllowList,
    pub pages: Pages,
    pub health: Health,
    pub lag: Arc<Lag>,
    pub highlighter: Highlighter,
    pub telemetry: Arc<Telemetry>,
    pub connections: Arc<Connections>,
    pub live: LiveRuns,
    pub directory: Directory,
    pub tracker: TaskTracker,
    /// Cancelled when no new connections and messages are taken.
    pub stopping: CancellationToken,
    /// Cancelled when runs end at once.
    pub interrupted: CancellationToken,
    /// Cancelled when everything ends at once.
    pub closed: CancellationToken,
    pub started: Instant,
    /// The rate of messages of each user.
    sends: Mutex<HashMap<String, Bucket>>,
}

/// What a core is made of; see the fields of [`Core`].
pub(crate) struct Parts {
    pub settings: Settings,
    pub store: Store,
    pub epoch: String,
    pub proxy: Client,
    pub admin: Option<Client>,
    pub auth: Auth,
    pub allow_list: AllowList,
    pub pages: Pages,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let limits = &parts.settings.limits;
        let slots = Slots::new(limits.runs, limits.runs_per_user, limits.waiting_per_user);
        let telemetry = Arc::<Telemetry>::default();
        let connections = Connections::new(&parts.settings, Arc::clone(&telemetry));
        Arc::new(Self {
            slots,
            settings: parts.settings,
            store: parts.store,
            epoch: parts.epoch,
            proxy: parts.proxy,
            admin: parts.admin,
            auth: parts.auth,
            allow_list: parts.allow_list,
            pages: parts.pages,
            health: Health::default(),
            lag: Arc::default(),
            highlighter: Highlighter::default(),
            telemetry,
            connections: Arc::new(connections),
            live: LiveRuns::default(),
            directory: Directory::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            closed: CancellationToken::new(),
            started: Instant::now(),
            sends: Mutex::default(),
        })
    }

    /// Whether the gateway stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// What a client gets while the gateway stops.
    pub(crate) fn stopping_error(&self) -> ErrorBody {
        ErrorBody::new(Code::ShuttingDown, "the gateway is stopping").after(Duration::from_secs(2))
    }

    /// Counts one message against a user's rate.
    pub(crate) fn take_send(&self, user: &str) -> Result<(), ErrorBody> {
        let now = Instant::now();
        let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
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
                self.telemetry.figures.limited.inc();
                ErrorBody::new(Code::RateLimited, "too many messages").after(wait)
            })
    }

    /// Takes that back: the message was refused for another reason.
    pub(crate) fn give_back_send(&self, user: &str) {
        let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = sends.get_mut(user) {
            bucket.give_back();
        }
    }

    /// Adds a connection of a login. Its first frame is the answer to the `hello` with this id.
    pub(crate) fn connect(&self, login: Login, visible: bool, hello: &str) -> Arc<Conn> {
        self.connections.join(login, visible, |conn| {
            conn.outbox
                .push(wire::ok(hello, &self.welcome(conn)).into());
        })
    }

    /// What a connection is told first.
    fn welcome(&self, conn: &Conn) -> Welcome {
        let limits = &self.settings.limits;
        let (health, models) = self.health.now();
        Welcome {
            v: wire::VERSION,
            conn: conn.outbox.conn.clone(),
            epoch: self.epoch.clone(),
            user: conn.login.user.clone(),
            server: Server {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build: self.pages.build(),
            },
            limits: Limits {
                frame_bytes: self.settings.sockets.frame_bytes,
                message_chars: limits.message_chars,
                sends_per_min: limits.sends_per_minute,
                runs_per_user: limits.runs_per_user,
                queue: limits.queue,
                highlight_bytes: highlight::MOST,
                undo_days: UNDO_DAYS,
            },
            heartbeat: Heartbeat {
                ping_ms: clock::millis(PING),
                tick_ms: clock::millis(TICK),
            },
            models,
            health,
        }
    }

    /// Probes the proxy, unless somebody else has done so since the call.
    pub(crate) async fn probe(&self) {
        let default = self.settings.default_model.as_deref();
        self.health.probe(&self.proxy, default).await;
    }

    /// The model to ask where none was chosen.
    pub(crate) async fn default_model(&self) -> Option<String> {
        if let Some(model) = self.health.default_model() {
            return Some(model);
        }
        self.probe().await;
        self.health.default_model()
    }

    /// Why no model is known.
    pub(crate) fn no_model(&self) -> ErrorBody {
        let (health, _) = self.health.now();
        let (code, message, layer) = match (health.proxy, health.model) {
            (Reach::Up, Reach::Up) => (
                Code::ModelNotFound,
                "the model server has no model",
                Layer::Model,
            ),
            (Reach::Up, Reach::Down | Reach::Unknown) => (
                Code::UpstreamUnreachable,
                "the model server does not answer",
                Layer::Model,
            ),
            (Reach::Down | Reach::Unknown, _) => (
                Code::UpstreamUnreachable,
                "the proxy does not answer",
                Layer::Proxy,
            ),
        };
        ErrorBody::new(code, message).layer(layer)
    }

    /// Waits until no session has a run or a command left, for at most `limit`.
    pub(crate) async fn settled(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let busy = || !self.live.is_empty() || self.directory.is_busy();
        while busy() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All figures, as [`Figures::encode`](super::telemetry::Figures::encode) writes them.
    pub(crate) fn metrics(&self) -> String {
        self.telemetry.figures.encode(&self.gauges())
    }

    /// Figures of the moment.
    pub(crate) fn gauges(&self) -> Gauges {
        let (running, waiting) = self.slots.load();
        let (health, _) = self.health.now();
        Gauges {
            connections: self.connections.count(),
            sessions: self.directory.count(),
            running,
            waiting,
            proxy_up: health.proxy == Reach::Up,
            model_up: health.model == Reach::Up,
            store_p95: self.store.write_p95(),
        }
    }
}
