//! Who is connected: every socket and event stream, how many there may be, and what one user's connections hold together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::auth::Login;
use super::bucket::Bucket;
use super::outbox::{Frame, Outbox, Room, Share};
use super::settings::{Settings, SocketLimits};
use super::telemetry::Telemetry;
use super::wire::{Close, Code, ErrorBody};

/// WebSocket pings; the browser's network stack answers them even while the page's timers sleep.
pub(crate) const PING: Duration = Duration::from_secs(20);
/// A `tick` is sent after this time without any frame.
pub(crate) const TICK: Duration = Duration::from_secs(15);

/// All connections of one gateway.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Sockets in all, and from one address.
    most: (usize, usize),
    limits: SocketLimits,
    telemetry: Arc<Telemetry>,
    conns: Mutex<HashMap<String, Arc<Conn>>>,
    /// Sockets of each address.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// The bytes that wait for each user's connections, while there are any.
    shares: Mutex<HashMap<String, Weak<Share>>>,
    next: AtomicU64,
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
    /// The rate of its frames.
    frames: Mutex<Bucket>,
}

impl Connections {
    pub(crate) fn new(settings: &Settings, telemetry: Arc<Telemetry>) -> Self {
        let limits = &settings.limits;
        Self {
            most: (limits.connections, limits.connections_per_address),
            limits: settings.sockets.clone(),
            telemetry,
            conns: Mutex::default(),
            addresses: Mutex::default(),
            shares: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Counts a socket of an address until the result is dropped.
    ///
    /// # Errors
    /// `OVERLOADED`: there are too many from that address, or in all.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, ErrorBody> {
        let mut addresses = lock(&self.addresses);
        let all: usize = addresses.values().sum();
        let count = addresses.get(&address).copied().unwrap_or(0);
        let (most, most_per_address) = self.most;
        if count >= most_per_address || all >= most {
            self.telemetry.figures.refused.inc();
            return Err(ErrorBody::new(Code::Overloaded, "too many connections")
                .after(Duration::from_secs(10)));
        }
        addresses.insert(address, count + 1);
        Ok(Admitted {
            connections: Arc::clone(self),
            address,
        })
    }

    /// Adds a connection of a login.
    ///
    /// `greet` may push a first frame. Frames for all connections come after it, and none of those is missed: until `greet`
    /// returns, nobody else sends to any connection.
    pub(crate) fn join(&self, login: Login, visible: bool, greet: impl FnOnce(&Conn)) -> Arc<Conn> {
        let outbox = self.outbox(&login.user.id);
        outbox.show(visible);
        let rate = self.limits.frames_per_second;
        let conn = Arc::new(Conn {
            outbox,
            login,
            rtt_us: AtomicU64::new(0),
            resumes: AtomicU32::new(0),
            frames: Mutex::new(Bucket::new(
                rate.saturating_mul(2),
                rate,
                Duration::from_secs(1),
                Instant::now(),
            )),
        });
        self.telemetry.figures.opened.inc();
        let mut conns = lock(&self.conns);
        greet(&conn);
        conns.insert(conn.outbox.conn.clone(), Arc::clone(&conn));
        drop(conns);
        conn
    }

    /// An outbox for a new connection of a user.
    fn outbox(&self, user: &str) -> Arc<Outbox> {
        let id = format!("c_{}", self.next.fetch_add(1, Ordering::Relaxed));
        let room = Room {
            frames: self.limits.outbox,
            bytes: self.limits.outbox_bytes,
        };
        Outbox::new(id, user.to_owned(), room, self.share(user))
    }

    /// What all connections of a user hold together.
    fn share(&self, user: &str) -> Arc<Share> {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.get(user).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Share::new(self.limits.outbox_bytes_per_user);
        shares.insert(user.to_owned(), Arc::downgrade(&share));
        share
    }

    /// How many bytes the connections of a user hold.
    #[cfg(test)]
    pub(crate) fn held(&self, user: &str) -> usize {
        self.share(user).taken()
    }

    /// Removes a connection. Actors and buffers notice on their own that it is gone.
    pub(crate) fn leave(&self, conn: &str) {
        lock(&self.conns).remove(conn);
    }

    /// The connection with this id, if it belongs to this login.
    pub(crate) fn find(&self, id: &str, login: &Login) -> Option<Arc<Conn>> {
        lock(&self.conns)
            .get(id)
            .filter(|conn| conn.login.token == login.token)
            .cloned()
    }

    /// Counts one frame against a connection's rate.
    pub(crate) fn take_frame(&self, conn: &Conn) -> Result<(), ErrorBody> {
        lock(&conn.frames).take(Instant::now()).map_err(|wait| {
            self.telemetry.figures.limited.inc();
            ErrorBody::new(Code::RateLimited, "too many requests on this connection").after(wait)
        })
    }

    /// Sends a frame to all connections of a user.
    pub(crate) fn to_user(&self, user: &str, frame: &Frame) {
        self.each(|conn| {
            if conn.outbox.user == user {
                conn.outbox.push(frame.clone());
            }
        });
    }

    /// Sends a frame to all connections.
    pub(crate) fn to_all(&self, frame: &Frame) {
        self.each(|conn| conn.outbox.push(frame.clone()));
    }

    /// Calls `act` with each connection.
    pub(crate) fn each(&self, act: impl Fn(&Conn)) {
        lock(&self.conns).values().for_each(|conn| act(conn));
    }

    /// Closes all connections of a login that has ended.
    pub(crate) fn close_login(&self, token: &str) {
        self.each(|conn| {
            if conn.login.token == token {
                conn.outbox.cut(Close::Unauthenticated);
            }
        });
    }

    /// The number of connections.
    pub(crate) fn count(&self) -> usize {
        lock(&self.conns).len()
    }
}

/// A counted socket.
#[derive(Debug)]
pub(crate) struct Admitted {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = lock(&self.connections.addresses);
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
