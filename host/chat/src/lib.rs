//! The web gateway: a chat page over WebSockets, sessions kept by the server, limits, and `/debug`.
//!
//! It is a client of the proxy like any other: it sends `POST {endpoint}/v1/chat/completions` and knows nothing else about it.
//! It imports only the ground floor: configuration, listeners, framing and telemetry.
//!
//! How the parts fit together:
//!
//! ```text
//! http ─┬─ page        the files of the page
//!       ├─ rest ──┐
//!       ├─ stream ┼─ request ── session (one actor each) ── store
//!       └─ socket ┘                │
//!            ▲                     └─ run ── proxy ──▶ the proxy
//!            └── outbox ◀── events ───┘ │
//!                   ▲                   ▼
//!                   └── positions ─── buffer
//!
//! core: what all of them share (directory of actors, connections, live runs, limits)
//! ```
//!
//! Three rules hold everywhere. A run belongs to its session, never to a connection. Everything that a client sees has a position,
//! so that it can come back to it. Nothing that waits is unbounded: a reader that does not read costs a position, not a queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

mod auth;
mod bucket;
mod buffer;
mod caller;
mod connections;
mod core;
mod debug;
mod directory;
mod health;
mod highlight;
mod http;
mod id;
mod lag;
mod live;
mod origin;
mod outbox;
mod page;
mod passthrough;
mod proxy;
mod request;
mod response;
mod rest;
mod run;
mod session;
mod settings;
mod slots;
mod socket;
mod store;
mod stream;
mod telemetry;
mod transfer;
mod watch;
mod wire;

pub use page::Files;
pub use settings::{Problem, Settings, SocketLimits, Timeouts};
pub use store::Error as StoreError;
pub use transfer::{Error as TransferError, Imported, backup, export, import, login_code};

use self::core::{Core, Parts};
use origin::AllowList;
use outbox::Frame;
use proxy::{Client, Dialer};
use settings::base_url;
use sluicegate_config as config;
use sluicegate_serve::{self as server, Listener};
use sluicegate_telemetry::clock;
use store::{Store, token};
use wire::Close;
use wire::event::Notice;

/// Whether an error of the proxy with this code has a cause of its own on the page.
#[must_use]
pub fn knows_error(code: &str) -> bool {
    proxy::knows_error(code)
}

/// How often old rows are removed.
const TIDY: Duration = Duration::from_secs(3600);
/// Reconnects after a restart are spread over this time.
const SPREAD_MS: u64 = 3_000;
/// How long interrupted runs may take after the deadline to store their text.
const LAST: Duration = Duration::from_secs(3);

/// Why the web gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used; all problems are listed.
    #[error("the settings of the web gateway cannot be used: {}", list(.0))]
    Settings(Vec<Problem>),
    /// The database cannot be opened.
    #[error("the chat database cannot be opened")]
    Store(#[from] store::Error),
    /// The address cannot be bound, or the certificate or key cannot be used.
    #[error(transparent)]
    Listen(#[from] server::Error),
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A running web gateway.
pub struct Chat {
    core: Arc<Core>,
    address: SocketAddr,
    link: String,
}

impl Chat {
    /// Starts the gateway. The proxy need not be running: the page then says so, and notices when it starts.
    ///
    /// `files` are the files of the page, each with its path and content; see [`Settings::ui_dir`] for working on it.
    ///
    /// # Errors
    /// [`Error`]. Nothing is running then.
    pub async fn start(settings: Settings, files: Files) -> Result<Self, Error> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(Error::Settings(problems));
        }
        let listener = config::Listener {
            tls: settings.tls.clone(),
            open: settings.allow_plain_remote,
            ..config::Listener::at(settings.listen)
        };
        let listener = Listener::open(&listener).await?.with_upgrades();
        let address = listener.address();
        let core = assemble(settings, files, address).await?;
        let code = core.auth.new_code(token::LOCAL, true).await?;
        let link = format!("{}/#login={code}", origin(&core.settings, address));
        core.tracker.spawn(http::serve(Arc::clone(&core), listener));
        core.tracker.spawn(watch::watch(Arc::clone(&core)));
        let lag = Arc::clone(&core.lag);
        core.tracker.spawn(lag.measure(core.closed.clone()));
        core.tracker.spawn(tidy(Arc::clone(&core)));
        tracing::info!(%address, endpoint = core.settings.endpoint, "chat: the web gateway is ready");
        Ok(Self {
            core,
            address,
            link,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that logs a browser in, once, within ten minutes from the start. It is a secret: print it for the operator only.
    pub fn login_link(&self) -> String {
        self.link.clone()
    }

    /// The current figures, for an admin interface that shows them beside its own; empty once the gateway is gone.
    ///
    /// # Shape
    /// OpenMetrics text without its end mark.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let core = Arc::downgrade(&self.core);
        move || {
            core.upgrade()
                .map_or_else(String::new, |core| core.metrics())
        }
    }

    /// Stops the gateway: takes no new messages, tells the browsers, waits up to `deadline` for runs under way, then interrupts
    /// the rest and stores their text so far.
    pub async fn shutdown(self, deadline: Duration) {
        let core = self.core;
        core.stopping.cancel();
        farewell(&core);
        let until = tokio::time::Instant::now() + deadline;
        while core.slots.load() != (0, 0) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        core.interrupted.cancel();
        let until = tokio::time::Instant::now() + LAST;
        while core.slots.load() != (0, 0) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The runs have reported. Their sessions store the end before they take another command.
        core.settled(LAST).await;
        core.connections
            .each(|conn| conn.outbox.close(Close::ShuttingDown));
        // Gives the close frames time to leave.
        tokio::time::sleep(Duration::from_millis(100)).await;
        core.closed.cancel();
        core.tracker.close();
        if tokio::time::timeout(LAST, core.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("chat: some tasks did not end in time");
        }
        core.store.close().await;
        tracing::info!("chat: the web gateway has stopped");
    }
}

async fn assemble(
    settings: Settings,
    files: Files,
    address: SocketAddr,
) -> Result<Arc<Core>, Error> {
    let path = settings.store.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&path))
        .await
        .map_err(|_| store::Error::Closed)??;
    let epoch = store
        .write(|c| {
            let ended = store::run::repair(c, None, clock::unix_ms())?;
            if ended > 0 {
                tracing::warn!(
                    ended,
                    "chat: answers cut off when the gateway last stopped are marked as interrupted"
                );
            }
            store::schema::epoch(c)
        })
        .await?;
    let auth = auth::Auth::new(&settings, &store, address.port()).await?;
    let bad = |what, url: &String| {
        Error::Settings(vec![Problem::BadUrl {
            what,
            url: url.clone(),
        }])
    };
    let endpoint = settings::endpoint(&settings.endpoint)
        .ok_or_else(|| bad("endpoint", &settings.endpoint))?;
    let admin = match &settings.admin {
        Some(url) => Some(base_url(url).ok_or_else(|| bad("admin", url))?),
        None => None,
    };
    let dialer = Dialer::new(endpoint.https || admin.as_ref().is_some_and(|admin| admin.https));
    let client = |base, key| Client::new(base, key, dialer.clone(), settings.timeouts.clone());
    let proxy = client(endpoint, settings.endpoint_key.as_ref());
    let admin = admin.map(|base| client(base, settings.admin_key.as_ref()));
    let allow_list = AllowList::new(&settings, address);
    let pages = page::Pages::new(files, settings.ui_dir.clone());
    Ok(Core::new(Parts {
        settings,
        store,
        epoch,
        proxy,
        admin,
        auth,
        allow_list,
        pages,
    }))
}

/// The address of the page for people on this machine.
fn origin(settings: &Settings, address: SocketAddr) -> String {
    if let Some(origin) = settings.origins.first() {
        return origin.clone();
    }
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    match address.ip().is_unspecified() {
        true => format!("{scheme}://localhost:{}", address.port()),
        false => format!("{scheme}://{address}"),
    }
}

/// Tells all browsers when to reconnect, spread so that they do not all come at once.
fn farewell(core: &Core) {
    let count = core.connections.count().max(1) as u64;
    let place = std::sync::atomic::AtomicU64::new(0);
    core.connections.each(|conn| {
        let place = place.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let reconnect_after_ms = 500 + SPREAD_MS * place / count;
        let bye = Notice::Bye {
            reason: "restart",
            reconnect_after_ms,
        };
        conn.outbox.push(Frame::from(wire::text(&bye)));
    });
}

/// Removes expired rows from time to time.
async fn tidy(core: Arc<Core>) {
    loop {
        let now = clock::unix_ms();
        let tidied = core.store.write(move |c| {
            store::session::purge(c, now.saturating_sub(store::session::UNDO_MS))?;
            store::event::forget(c, now)?;
            token::forget(c, now)
        });
        if let Err(error) = tidied.await {
            tracing::warn!(%error, "chat: old rows were not removed");
        }
        tokio::select! {
            () = core.closed.cancelled() => return,
            () = tokio::time::sleep(TIDY) => {}
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test waits for its tasks, or its runtime ends them"
)]
mod tests;
