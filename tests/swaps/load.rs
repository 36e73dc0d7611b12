//! The load: streams that are always open, and unary requests at a rate. Every response is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Ask, Connection, KEY, Wrong, chat, check};
use crate::model::{PACED_TOKENS, TOKENS};

/// How far apart streams begin at first.
const APART: Duration = Duration::from_millis(5);
/// A connection that was idle for longer is not used again: the gateway closes it after 75 s, perhaps while a request is on its
/// way.
const IDLE: Duration = Duration::from_secs(30);
/// Examples of each kind of wrong response that are kept.
const EXAMPLES: usize = 3;

/// What came of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) streams: AtomicUsize,
    pub(crate) unary: AtomicUsize,
    pub(crate) failed: AtomicUsize,
    pub(crate) mixed: AtomicUsize,
    /// Streams that are open.
    pub(crate) open: AtomicUsize,
    /// Responses by their marks.
    versions: Mutex<BTreeMap<String, usize>>,
    examples: Mutex<Vec<String>>,
    latencies: Mutex<Vec<Duration>>,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// How many versions have been seen.
    pub(crate) fn versions(&self) -> usize {
        lock(&self.versions).len()
    }

    /// Some of what was wrong.
    pub(crate) fn examples(&self) -> Vec<String> {
        lock(&self.examples).clone()
    }

    /// The latencies of the unary requests since the last look.
    pub(crate) fn take_latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut lock(&self.latencies))
    }

    fn note(&self, checked: Result<String, Wrong>) {
        let (count, example) = match checked {
            Ok(marks) => {
                *lock(&self.versions).entry(marks).or_default() += 1;
                return;
            }
            Err(Wrong::Failed(text)) => (&self.failed, format!("failed: {text}")),
            Err(Wrong::Mixed(text)) => (&self.mixed, format!("mixed: {text}")),
        };
        if count.fetch_add(1, Ordering::Relaxed) < EXAMPLES {
            lock(&self.examples).push(example);
        }
    }
}

/// A load that goes on until it is stopped.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Opens `streams` streams, each followed by another one, and sends `rate` unary requests each second. Returns when all
    /// streams are open.
    ///
    /// # Errors
    /// If a connection fails.
    pub(crate) async fn begin(
        address: SocketAddr,
        streams: usize,
        rate: u32,
    ) -> anyhow::Result<Self> {
        let tally = Arc::new(Tally::default());
        let mut tasks = JoinSet::new();
        if rate > 0 {
            tasks.spawn(ask(address, rate, tally.clone()));
        }
        for _ in 0..streams {
            let connection = Connection::new(address).await?;
            tasks.spawn(follow(connection, address, tally.clone()));
            tokio::time::sleep(APART).await;
        }
        Ok(Self { tally, tasks })
    }

    /// Lets what is open end, and begins nothing new.
    pub(crate) async fn end(mut self) -> Arc<Tally> {
        self.tally.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.tally
    }
}

/// One stream after the other.
async fn follow(mut connection: Connection, address: SocketAddr, tally: Arc<Tally>) {
    let request = chat(Ask::Paced, KEY);
    while !tally.stop.load(Ordering::Relaxed) {
        tally.open.fetch_add(1, Ordering::Relaxed);
        let response = connection.send(&request).await;
        tally.open.fetch_sub(1, Ordering::Relaxed);
        let checked = check(response, Ask::Paced, PACED_TOKENS);
        let failed = matches!(checked, Err(Wrong::Failed(_)));
        tally.note(checked);
        tally.streams.fetch_add(1, Ordering::Relaxed);
        if failed {
            match Connection::new(address).await {
                Ok(new) => connection = new,
                Err(_) => return,
            }
        }
    }
}

/// Unary requests at a rate, however long they take, on connections that are kept.
async fn ask(address: SocketAddr, rate: u32, tally: Arc<Tally>) {
    let request: Arc<[u8]> = chat(Ask::Whole, KEY).into();
    let idle: Arc<Mutex<Vec<(Instant, Connection)>>> = Arc::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asking = JoinSet::new();
    while !tally.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while asking.try_join_next().is_some() {}
        let (request, idle, tally) = (request.clone(), idle.clone(), tally.clone());
        asking.spawn(async move {
            let kept = lock(&idle).pop();
            let connection = match kept {
                Some((since, connection)) if since.elapsed() < IDLE => Ok(connection),
                Some(_) | None => Connection::new(address).await,
            };
            let checked = match connection {
                Ok(mut connection) => {
                    let began = Instant::now();
                    let response = connection.send(&request).await;
                    lock(&tally.latencies).push(began.elapsed());
                    let checked = check(response, Ask::Whole, TOKENS);
                    if checked.is_ok() {
                        lock(&idle).push((Instant::now(), connection));
                    }
                    checked
                }
                Err(error) => Err(Wrong::Failed(format!("{error:#}"))),
            };
            tally.note(checked);
            tally.unary.fetch_add(1, Ordering::Relaxed);
        });
    }
    while asking.join_next().await.is_some() {}
}
