//! What plugins keep in Redis, or Valkey, so that any number of gateways share it.
//!
//! Each limit of each subject is one key, and each call one script with Redis' own time; so the clocks of the gateways do not matter, and
//! a proxy in front of a cluster can be used. What an exchange has reserved is a lease of its gateway, which the gateway renews while it lives: what
//! a gateway that was killed had reserved is free when the lease ends.
//!
//! While Redis cannot be reached, every call is [`Error::Unavailable`] at once, and [`Redis::run`] tries to connect. What is settled
//! meanwhile is kept, and booked when Redis is back.
//!
//! # Slack
//! A limit is exceeded at most by what exchanges had reserved that began before Redis was out of reach for longer than a lease, until
//! the gateways have said again what they hold, which they do before anything else. If Redis loses its data, limits begin anew.
//! Several limits of a call are taken in turn and given back if a later one refuses: meanwhile another exchange may be refused for
//! which there would have been room.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::{Quota, check_key};
use sluicegate_contract::capability::rate::{Budget, Limit, Period, Verdict};
use tokio::sync::{mpsc, oneshot, watch};

use self::ledger::Ledger;
use self::link::{Failure, Job, Session};
use super::{Entry, Pending, Shared, Space};

mod budgets;
mod calls;
mod ledger;
mod link;
mod session;

/// Calls that wait to be sent. They are sent at once; so many wait only while a reply is late, and more are unavailable.
const QUEUE: usize = 4096;

/// What a key of a day or a month begins with, behind `sluicegate:`.
const BUDGET: &str = "budget";

/// How it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long what a gateway has reserved is reserved without a sign of life.
    pub lease: Duration,
    /// How long connecting and each call may take.
    pub timeout: Duration,
    /// How long to wait before connecting is tried again.
    pub retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            timeout: Duration::from_secs(1),
            retry: Duration::from_millis(250),
        }
    }
}

/// The URL is none of Redis'.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it is not a URL of Redis, such as redis://127.0.0.1:6379/0")]
pub struct BadUrl;

/// Where plugins keep what gateways share.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: redis::Client,
    settings: Settings,
    /// Names this process among the gateways.
    gateway: String,
    /// How often it has connected.
    incarnation: AtomicU64,
    /// `None` before the first attempt to connect has ended.
    reachable: watch::Sender<Option<bool>>,
    ledger: Mutex<Ledger>,
    jobs: mpsc::Sender<Job>,
    /// For [`Redis::run`], which takes it.
    queue: Mutex<Option<mpsc::Receiver<Job>>>,
    spaces: Mutex<HashMap<String, Weak<RedisSpace>>>,
}

impl Redis {
    /// The state at this URL. Nothing can be reached before [`Redis::run`] runs.
    ///
    /// # Errors
    /// [`BadUrl`]
    pub fn new(url: &str, settings: Settings) -> Result<Self, BadUrl> {
        // Its own error repeats parts of the URL, which has a password in it.
        let client = redis::Client::open(url).map_err(|_| BadUrl)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        Ok(Self(Arc::new(Inner {
            client,
            settings,
            gateway: name(),
            incarnation: AtomicU64::new(0),
            reachable: watch::Sender::new(None),
            ledger: Mutex::default(),
            jobs,
            queue: Mutex::new(Some(queue)),
            spaces: Mutex::default(),
        })))
    }

    /// Whether it can be reached now.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.0.is_reachable()
    }

    /// Waits until the first attempt to connect has ended, well or not.
    pub async fn attempted(&self) {
        let mut reachable = self.0.reachable.subscribe();
        // `self` has the sender.
        let _ = reachable.wait_for(Option::is_some).await;
    }

    /// Where it is, without a password.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.client.get_connection_info().addr().to_string()
    }

    /// Connects, sends what is asked, renews leases, and connects again, until it is dropped. Only the first call does anything.
    pub async fn run(&self) {
        let queue = self.0.queue.lock();
        let queue = queue.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue {
            session::run(&self.0, queue).await;
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.address()).finish()
    }
}

impl Shared for Redis {
    fn space(&self, plugin: &str) -> Arc<dyn Space> {
        let spaces = self.0.spaces.lock();
        let mut spaces = spaces.unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.get(plugin).and_then(Weak::upgrade) {
            return space;
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let space = Arc::new(RedisSpace {
            plugin: plugin.to_owned(),
            inner: self.0.clone(),
        });
        spaces.insert(plugin.to_owned(), Arc::downgrade(&space));
        space
    }

    fn budgets(&self) -> Pending<'_, Vec<(String, Budget)>> {
        Box::pin(budgets::all(&self.0))
    }
}

/// Names this process among the gateways.
fn name() -> String {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // Other gateways on this machine have another number.
        bytes = u64::from(std::process::id()).to_be_bytes();
    }
    format!("g:{:016x}", u64::from_be_bytes(bytes))
}

impl Inner {
    fn is_reachable(&self) -> bool {
        *self.reachable.borrow() == Some(true)
    }

    fn next_incarnation(&self) -> u64 {
        self.incarnation.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing can panic between two changes.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a call made, also if nobody waits for it any more.
    async fn call<T, F>(&self, call: impl FnOnce(Session) -> F + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        if !self.is_reachable() {
            return Err(Error::Unavailable);
        }
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            Box::pin(async move {
                match call(session).await {
                    Ok(value) => {
                        // What is in it is given back if nobody takes it.
                        drop(tell.send(Ok(value)));
                        Ok(())
                    }
                    Err(Failure::Refused(error)) => {
                        drop(tell.send(Err(error)));
                        Ok(())
                    }
                    Err(Failure::Broken(error)) => Err(error),
                }
            })
        });
        self.jobs.try_send(job).map_err(|_| Error::Unavailable)?;
        told.await.unwrap_or(Err(Error::Unavailable))
    }
}

/// What one plugin keeps.
struct RedisSpace {
    plugin: String,
    inner: Arc<Inner>,
}

impl fmt::Debug for RedisSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisSpace").field(&self.plugin).finish()
    }
}

impl RedisSpace {
    /// The key of a limit. Name and subject may have any characters, but the length of the name says where it ends.
    fn key(&self, limit: &Limit) -> String {
        let (name, subject) = (&limit.name, &limit.subject);
        let kind = match &limit.period {
            Period::Held | Period::Rolling(_) => "rate",
            Period::Calendar(window) => &format!("{BUDGET}:{}", window.label),
        };
        format!(
            "sluicegate:{kind}:{}:{}:{name}:{subject}",
            self.plugin,
            name.len()
        )
    }

    fn keyed(&self, limits: &[Limit]) -> Vec<(String, Limit)> {
        let limits = limits.iter();
        limits.map(|it| (self.key(it), it.clone())).collect()
    }
}

impl Space for RedisSpace {
    fn get(&self, key: String) -> Pending<'_, Option<Bytes>> {
        let plugin = self.plugin.clone();
        Box::pin(async move {
            check_key(&key)?;
            let call = move |session| calls::get(session, plugin, key);
            self.inner.call(call).await
        })
    }

    fn set(&self, quota: Quota, entry: Entry) -> Pending<'_, bool> {
        let plugin = self.plugin.clone();
        Box::pin(async move {
            calls::check_entry(&entry)?;
            let call = move |session| calls::set(session, plugin, quota, entry);
            self.inner.call(call).await
        })
    }

    fn add(&self, quota: Quota, key: String, by: i64, ttl_ms: Option<u64>) -> Pending<'_, i64> {
        let plugin = self.plugin.clone();
        Box::pin(async move {
            calls::check_ttl(&key, ttl_ms)?;
            let call = move |session| calls::add(session, plugin, quota, (key, by, ttl_ms));
            self.inner.call(call).await
        })
    }

    fn delete(&self, key: String) -> Pending<'_, ()> {
        let plugin = self.plugin.clone();
        Box::pin(async move {
            check_key(&key)?;
            let call = move |session| calls::delete(session, plugin, key);
            self.inner.call(call).await
        })
    }

    fn take<'a>(&'a self, _: usize, limits: &'a [Limit]) -> Pending<'a, Verdict> {
        let limits = self.keyed(limits);
        let inner = self.inner.clone();
        Box::pin(async move {
            let call = move |session| calls::take(session, inner, limits, false);
            Ok(self.inner.call(call).await?.keep())
        })
    }

    fn reserve<'a>(&'a self, _: usize, limits: &'a [Limit]) -> Pending<'a, Verdict> {
        let limits = self.keyed(limits);
        let inner = self.inner.clone();
        Box::pin(async move {
            let call = move |session| calls::take(session, inner, limits, true);
            Ok(self.inner.call(call).await?.keep())
        })
    }

    fn settle<'a>(&'a self, limit: &'a Limit, used: u64) -> Pending<'a, ()> {
        let key = self.key(limit);
        self.inner.ledger().settle(&key, limit, used);
        // It is in the ledger, so it is booked whatever happens here; this only makes it soon.
        let inner = self.inner.clone();
        let call = move |session| calls::settle(session, inner, key);
        Box::pin(async move {
            match self.inner.call(call).await {
                Ok(()) | Err(Error::Unavailable) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn give_back(&self, limits: Vec<Limit>) {
        calls::give_back(&self.inner, self.keyed(&limits));
    }
}

#[cfg(test)]
mod tests;
