//! The calls: each one script on one key.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use redis::{AsyncCommands as _, RedisError, Script};
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::{Quota, VALUE_MAX, check_key};
use sluicegate_contract::capability::rate::{Limit, Standing, Verdict};

use super::ledger::Period;
use super::link::{Failure, Job, Session};
use super::{Inner, ledger};
use crate::shared::Entry;

static LIMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limit.lua")));
static VALUES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("kv.lua")));

/// What a call does with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Take,
    Reserve,
    Look,
    Settle,
    /// Says what the gateway holds, whatever is there.
    Sync,
    /// Says that the gateway lives.
    Renew,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Reserve => "reserve",
            Self::Look => "look",
            Self::Settle => "settle",
            Self::Sync => "sync",
            Self::Renew => "renew",
        }
    }
}

/// What the script says: granted, left, milliseconds until it would be granted, until all is back; below 0 for none.
type Said = (i64, i64, i64, i64);

async fn limit(
    session: &mut Session,
    mode: Mode,
    key: &str,
    (capacity, period): (u64, Period),
    (amount, used): (u64, u64),
) -> Result<Said, RedisError> {
    let mut call = LIMIT.key(key);
    call.arg(mode.name())
        .arg(&session.gateway)
        .arg(session.incarnation)
        .arg(session.lease_ms.to_string())
        .arg(capacity)
        .arg(period.per)
        .arg(amount)
        .arg(used)
        .arg(period.left);
    call.invoke_async(&mut session.connection).await
}

/// Says of a key what the gateway holds.
pub(super) async fn say(
    mut session: Session,
    mode: Mode,
    key: &str,
    account: ledger::Account,
) -> Result<(), RedisError> {
    let used = match mode {
        Mode::Sync => account.used,
        Mode::Take | Mode::Reserve | Mode::Look | Mode::Settle | Mode::Renew => 0,
    };
    let of = (account.capacity, account.period);
    limit(&mut session, mode, key, of, (account.reserved, used)).await?;
    Ok(())
}

/// What was taken; given back when it is dropped, if it was reserved and nobody kept it.
pub(super) struct Taken {
    verdict: Verdict,
    inner: Arc<Inner>,
    reserved: Vec<(String, Limit)>,
}

impl Taken {
    /// It has arrived where it is settled.
    pub(super) fn keep(mut self) -> Verdict {
        self.reserved.clear();
        let standings = std::mem::take(&mut self.verdict.standings);
        Verdict {
            granted: self.verdict.granted,
            standings,
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let reserved = std::mem::take(&mut self.reserved);
        if !reserved.is_empty() {
            give_back(&self.inner, reserved);
        }
    }
}

/// Takes the limits in turn. If one refuses, those before it are given back, and the others are only looked at.
pub(super) async fn take(
    mut session: Session,
    inner: Arc<Inner>,
    limits: Vec<(String, Limit)>,
    reserves: bool,
) -> Result<Taken, Failure> {
    let mut taken = Taken {
        verdict: Verdict {
            granted: true,
            standings: Vec::with_capacity(limits.len()),
        },
        inner,
        reserved: Vec::new(),
    };
    // Of several limits that are taken for good, the last one decides; until then all can be given back.
    let several = limits.len() > 1;
    for (key, of) in &limits {
        let mode = match (taken.verdict.granted, reserves || several) {
            (false, _) => Mode::Look,
            (true, true) => Mode::Reserve,
            (true, false) => Mode::Take,
        };
        let said = limit(
            &mut session,
            mode,
            key,
            (of.capacity, Period::of(of)),
            (of.amount, 0),
        )
        .await?;
        let standing = standing(said)?;
        taken.verdict.granted &= standing.granted;
        if mode == Mode::Reserve && standing.granted && of.amount > 0 {
            taken.inner.ledger().reserve(key, of);
            taken.reserved.push((key.clone(), of.clone()));
        }
        taken.verdict.standings.push(standing);
    }
    if !taken.verdict.granted {
        for ((_, of), standing) in limits.iter().zip(&mut taken.verdict.standings) {
            let was_taken = taken.reserved.iter().any(|(_, it)| it == of);
            if was_taken {
                standing.remaining = standing
                    .remaining
                    .saturating_add(i64::try_from(of.amount).unwrap_or(i64::MAX));
            }
        }
        book(
            &mut session,
            &taken.inner,
            std::mem::take(&mut taken.reserved),
            0,
        )
        .await?;
    } else if !reserves {
        let reserved = std::mem::take(&mut taken.reserved);
        for (key, of) in reserved {
            book(
                &mut session,
                &taken.inner,
                vec![(key, of.clone())],
                of.amount,
            )
            .await?;
        }
    }
    Ok(taken)
}

/// Settles at once: what is not booked when this is dropped is booked later.
async fn book(
    session: &mut Session,
    inner: &Arc<Inner>,
    limits: Vec<(String, Limit)>,
    used: u64,
) -> Result<(), Failure> {
    {
        let mut ledger = inner.ledger();
        for (key, of) in &limits {
            ledger.settle(key, of, used);
        }
    }
    for (key, _) in limits {
        settle(session.clone(), inner.clone(), key).await?;
    }
    Ok(())
}

fn standing((granted, remaining, retry, reset): Said) -> Result<Standing, Failure> {
    if granted < 0 {
        // This gateway has connected again meanwhile.
        return Err(Failure::Refused(Error::Unavailable));
    }
    Ok(Standing {
        granted: granted > 0,
        remaining,
        retry_ms: u64::try_from(retry).ok(),
        reset_ms: u64::try_from(reset).ok(),
    })
}

/// Books what the ledger has for a key.
pub(super) async fn settle(
    mut session: Session,
    inner: Arc<Inner>,
    key: String,
) -> Result<(), Failure> {
    let Some(account) = inner.ledger().take_due(&key) else {
        // Another call has booked it too.
        return Ok(());
    };
    let mut unbooked = Unbooked {
        inner: &inner,
        key: &key,
        account: Some(account),
    };
    let of = (account.capacity, account.period);
    let amounts = (account.due, account.used);
    limit(&mut session, Mode::Settle, &key, of, amounts).await?;
    unbooked.account = None;
    Ok(())
}

/// What is put back into the ledger if it was not booked.
struct Unbooked<'a> {
    inner: &'a Inner,
    key: &'a str,
    account: Option<ledger::Account>,
}

impl Drop for Unbooked<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.account.take() {
            self.inner.ledger().put_back(self.key, account);
        }
    }
}

/// Gives back what was reserved, without waiting. While Redis cannot be reached, or the queue is full, the ledger has it.
pub(super) fn give_back(inner: &Arc<Inner>, limits: Vec<(String, Limit)>) {
    for (key, of) in limits {
        inner.ledger().settle(&key, &of, 0);
        let (books, of_key) = (inner.clone(), key);
        let job: Job = Box::new(move |session| {
            Box::pin(async move {
                match settle(session, books, of_key).await {
                    Ok(()) | Err(Failure::Refused(_)) => Ok(()),
                    Err(Failure::Broken(broken)) => Err(broken),
                }
            })
        });
        // What finds no room is booked with the next settling of this key, or when this gateway connects again.
        drop(inner.jobs.try_send(job));
    }
}

/// # Errors
/// [`Error::Invalid`]
pub(super) fn check_ttl(key: &str, ttl_ms: Option<u64>) -> Result<(), Error> {
    check_key(key)?;
    if ttl_ms == Some(0) {
        return Err(Error::Invalid);
    }
    Ok(())
}

/// # Errors
/// [`Error::Invalid`]
pub(super) fn check_entry(entry: &Entry) -> Result<(), Error> {
    check_ttl(&entry.key, entry.ttl_ms)?;
    if entry.value.len() > VALUE_MAX {
        return Err(Error::Invalid);
    }
    Ok(())
}

fn value_key(plugin: &str, key: &str) -> String {
    // The braces keep all keys of a plugin in one slot of a cluster.
    format!("sluicegate:kv:{{{plugin}}}:value:{key}")
}

async fn values(
    session: &mut Session,
    plugin: &str,
    quota: Quota,
    (mode, key, value, ttl_ms): (&str, &str, &[u8], Option<u64>),
) -> Result<(Vec<u8>, i64), Failure> {
    // Beyond this, what is left of the time is no number for Redis any more: some 30,000 years.
    let ttl = ttl_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX).min(1 << 50));
    let mut call = VALUES.key(value_key(plugin, key));
    call.key(format!("sluicegate:kv:{{{plugin}}}:ends"))
        .key(format!("sluicegate:kv:{{{plugin}}}:sizes"))
        .arg(mode)
        .arg(key)
        .arg(value)
        .arg(ttl)
        .arg(quota.keys)
        .arg(quota.bytes);
    let said: Result<(Vec<u8>, i64), RedisError> = call.invoke_async(&mut session.connection).await;
    said.map_err(|error| match error.code() {
        Some("OVERLIMIT") => Failure::Refused(Error::OverLimit),
        Some("INVALID") => Failure::Refused(Error::Invalid),
        Some(_) | None => error.into(),
    })
}

/// The value of a key.
pub(super) async fn get(
    mut session: Session,
    plugin: String,
    key: String,
) -> Result<Option<Bytes>, Failure> {
    let value: Option<Vec<u8>> = session.connection.get(value_key(&plugin, &key)).await?;
    Ok(value.map(Bytes::from))
}

/// Sets a value; whether it was set.
pub(super) async fn set(
    mut session: Session,
    plugin: String,
    quota: Quota,
    entry: Entry,
) -> Result<bool, Failure> {
    let mode = if entry.only_new { "insert" } else { "set" };
    let what = (mode, &*entry.key, &*entry.value, entry.ttl_ms);
    let (_, set) = values(&mut session, &plugin, quota, what).await?;
    Ok(set > 0)
}

/// Adds to a number.
pub(super) async fn add(
    mut session: Session,
    plugin: String,
    quota: Quota,
    (key, by, ttl_ms): (String, i64, Option<u64>),
) -> Result<i64, Failure> {
    let by = by.to_string();
    let what = ("add", &*key, by.as_bytes(), ttl_ms);
    let (sum, _) = values(&mut session, &plugin, quota, what).await?;
    let sum = std::str::from_utf8(&sum)
        .ok()
        .and_then(|it| it.parse().ok());
    sum.ok_or(Failure::Refused(Error::Invalid))
}

/// Removes a key.
pub(super) async fn delete(
    mut session: Session,
    plugin: String,
    key: String,
) -> Result<(), Failure> {
    let what = ("delete", &*key, &b""[..], None);
    values(&mut session, &plugin, Quota::default(), what).await?;
    Ok(())
}
