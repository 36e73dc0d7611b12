//! The connection: made, used by all calls at once, and made again when one of them fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::calls::{self, Mode};
use super::link::{Broken, Failure, Job, Session};
use super::{Inner, ledger};

/// Keys of which a gateway says at the same time that it lives.
const TOGETHER: usize = 64;

/// Calls on the way at the same time: more wait in the queue.
const ON_THE_WAY: usize = 1024;

/// The longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Connects and makes calls, for ever.
pub(super) async fn run(inner: &Arc<Inner>, mut queue: mpsc::Receiver<Job>) {
    let (mut pause, mut was_reachable) = (inner.settings.retry, true);
    let address = inner.client.get_connection_info().addr().to_string();
    loop {
        let failed = match begin(inner).await {
            Ok(session) => {
                tracing::info!(address, "the shared state is reachable");
                inner.reachable.send_replace(Some(true));
                (pause, was_reachable) = (inner.settings.retry, true);
                serve(inner, session, &mut queue).await
            }
            Err(broken) => broken,
        };
        inner.reachable.send_replace(Some(false));
        // Those who wait for them are told that it is unavailable.
        while queue.try_recv().is_ok() {}
        if was_reachable {
            tracing::warn!(address, error = %failed, "the shared state cannot be reached; trying again");
            was_reachable = false;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Connects, and says what this gateway holds before anybody asks for more.
async fn begin(inner: &Arc<Inner>) -> Result<Session, Broken> {
    let connection = connect(inner).await?;
    let session = Session {
        connection,
        gateway: inner.gateway.clone(),
        incarnation: inner.next_incarnation(),
        lease_ms: inner.settings.lease.as_millis(),
    };
    let all = inner.ledger().all();
    for some in all.chunks(TOGETHER) {
        say(inner, &session, Mode::Sync, some).await?;
    }
    Ok(session)
}

/// A new connection.
pub(super) async fn connect(inner: &Inner) -> Result<MultiplexedConnection, Broken> {
    let limit = inner.settings.timeout;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit));
    let connecting = inner
        .client
        .get_multiplexed_async_connection_with_config(&config);
    within(limit, connecting).await
}

/// Says of these keys what this gateway holds.
async fn say(
    inner: &Arc<Inner>,
    session: &Session,
    mode: Mode,
    accounts: &[(String, ledger::Account)],
) -> Result<(), Broken> {
    let saying = accounts.iter().map(|(key, account)| async move {
        let said = calls::say(session.clone(), mode, key, *account);
        within(inner.settings.timeout, said).await?;
        if mode == Mode::Sync {
            inner.ledger().booked(key, *account);
        }
        Ok(())
    });
    let said: Vec<Result<(), Broken>> = futures_util::future::join_all(saying).await;
    said.into_iter().collect()
}

/// Makes calls until one fails.
async fn serve(inner: &Arc<Inner>, session: Session, queue: &mut mpsc::Receiver<Job>) -> Broken {
    let limit = inner.settings.timeout;
    let period = inner.settings.lease / 3;
    let mut renew = interval(period);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut calls = FuturesUnordered::new();
    let mut renewing = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(job) = queue.recv(), if calls.len() < ON_THE_WAY => {
                let call = job(session.clone());
                calls.push(async move {
                    timeout(limit, call).await.unwrap_or(Err(Broken::Late(limit)))
                });
            }
            Some(done) = calls.next(), if !calls.is_empty() => {
                if let Err(broken) = done {
                    return broken;
                }
            }
            _ = renew.tick(), if renewing.is_empty() => {
                let session = &session;
                renewing.push(renewed(inner, session));
            }
            Some(done) = renewing.next(), if !renewing.is_empty() => {
                if let Err(broken) = done {
                    return broken;
                }
            }
        }
    }
}

/// Says that this gateway lives, and books what was settled while that was not possible.
async fn renewed(inner: &Arc<Inner>, session: &Session) -> Result<(), Broken> {
    let limit = inner.settings.timeout;
    let all = inner.ledger().all();
    let held: Vec<_> = all
        .iter()
        .filter(|(_, it)| it.reserved > 0)
        .cloned()
        .collect();
    for some in held.chunks(TOGETHER) {
        say(inner, session, Mode::Renew, some).await?;
    }
    for (key, _) in all.into_iter().filter(|(_, it)| it.due > 0 || it.used > 0) {
        let booking = calls::settle(session.clone(), inner.clone(), key);
        match timeout(limit, booking).await {
            Ok(Ok(()) | Err(Failure::Refused(_))) => {}
            Ok(Err(Failure::Broken(broken))) => return Err(broken),
            Err(_) => return Err(Broken::Late(limit)),
        }
    }
    Ok(())
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Broken> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(Broken::Redis),
        Err(_) => Err(Broken::Late(limit)),
    }
}
