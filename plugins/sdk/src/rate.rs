//! Limits that all exchanges share, taken atomically. A capability: `grant = { rate = true }`.
//!
//! ```
//! use std::time::Duration;
//! use sluicegate_plugin::{rate, CapabilityError};
//! use sluicegate_plugin::rate::Limit;
//!
//! # fn main() -> Result<(), CapabilityError> {
//! let verdict = rate::take(&[
//!     Limit::per("requests", "key-1", 100, Duration::from_secs(60)),
//!     Limit::per("tokens", "key-1", 10_000, Duration::from_secs(60)).amount(250),
//! ])?;
//! assert!(verdict.granted);
//! assert_eq!(verdict.standings[1].remaining, 9_750);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use crate::capability::{CapabilityError, millis};

#[cfg(target_family = "wasm")]
use crate::bindings::granted::rate as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::capabilities::rate as host;

/// How much of something one subject may use, and how much of it is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    name: String,
    subject: String,
    amount: u64,
    capacity: u64,
    period: Period,
}

/// When units come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Held,
    Rolling(u64),
    Day,
    Month,
}

impl Limit {
    /// `capacity` units may be used at once, and they come back evenly, all of them within `period`. Takes one of them.
    pub fn per(
        name: impl Into<String>,
        subject: impl Into<String>,
        capacity: u64,
        period: Duration,
    ) -> Self {
        Self::of(name, subject, capacity, Period::Rolling(millis(period)))
    }

    /// `capacity` units may be used in a day in UTC. Takes one of them. What was used is kept over a restart of the gateway.
    pub fn per_day(name: impl Into<String>, subject: impl Into<String>, capacity: u64) -> Self {
        Self::of(name, subject, capacity, Period::Day)
    }

    /// As [`Limit::per_day`], for a month in UTC.
    pub fn per_month(name: impl Into<String>, subject: impl Into<String>, capacity: u64) -> Self {
        Self::of(name, subject, capacity, Period::Month)
    }

    /// `capacity` units may be held at a time. Takes one of them, only with [`reserve`]. It comes back when it is settled, or when
    /// the exchange is over.
    pub fn held(name: impl Into<String>, subject: impl Into<String>, capacity: u64) -> Self {
        Self::of(name, subject, capacity, Period::Held)
    }

    fn of(
        name: impl Into<String>,
        subject: impl Into<String>,
        capacity: u64,
        period: Period,
    ) -> Self {
        Self {
            name: name.into(),
            subject: subject.into(),
            amount: 1,
            capacity,
            period,
        }
    }

    /// Takes so many units; 0 looks at the limit without taking anything.
    #[must_use]
    pub fn amount(mut self, amount: u64) -> Self {
        self.amount = amount;
        self
    }

    fn to_host(&self) -> host::Limit {
        host::Limit {
            name: self.name.clone(),
            subject: self.subject.clone(),
            amount: self.amount,
            capacity: self.capacity,
            period: match self.period {
                Period::Held => host::Period::Held,
                Period::Rolling(ms) => host::Period::Rolling(ms),
                Period::Day => host::Period::Day,
                Period::Month => host::Period::Month,
            },
        }
    }
}

/// How a limit stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it had room.
    pub granted: bool,
    /// Units left; below 0 if more was settled than there was.
    pub remaining: i64,
    /// When the amount would be granted if nobody took anything meanwhile. `None` if that cannot be known, or never happens.
    pub retry: Option<Duration>,
    /// When all units are back if nobody takes any meanwhile; `None` for units that are held.
    pub reset: Option<Duration>,
}

/// Names a reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the amounts were taken: all limits had room.
    pub granted: bool,
    /// For [`settle`], if a reservation was granted.
    pub ticket: Ticket,
    /// One for each limit, in their order.
    pub standings: Vec<Standing>,
}

impl Verdict {
    fn of(verdict: host::Verdict) -> Self {
        let standing = |standing: host::Standing| Standing {
            granted: standing.granted,
            remaining: standing.remaining,
            retry: standing.retry_ms.map(Duration::from_millis),
            reset: standing.reset_ms.map(Duration::from_millis),
        };
        Self {
            granted: verdict.granted,
            ticket: Ticket(verdict.ticket),
            standings: verdict.standings.into_iter().map(standing).collect(),
        }
    }
}

fn to_host(limits: &[Limit]) -> Vec<host::Limit> {
    limits.iter().map(Limit::to_host).collect()
}

/// Takes the amounts of all limits for good, or of none.
///
/// # Errors
/// [`CapabilityError`]: [`OverLimit`](CapabilityError::OverLimit) if too many subjects are in use,
/// [`Invalid`](CapabilityError::Invalid) for units that are held, for no limit or more than 16, and for one twice.
pub fn take(limits: &[Limit]) -> Result<Verdict, CapabilityError> {
    Ok(host::take(&to_host(limits)).map(Verdict::of)?)
}

/// Takes the amounts of all limits for this exchange, or of none. What is not settled when the exchange is over is given back.
///
/// # Errors
/// As [`take`]; [`OverLimit`](CapabilityError::OverLimit) also beyond 64 reservations of an exchange.
pub fn reserve(limits: &[Limit]) -> Result<Verdict, CapabilityError> {
    Ok(host::reserve(&to_host(limits)).map(Verdict::of)?)
}

/// Says how much of the limits of this name was used in a reservation. The rest is given back; what was used beyond it is taken.
/// Units that are held are given back. Once for each name.
///
/// # Errors
/// [`CapabilityError::Invalid`] if there is nothing of this name to settle.
pub fn settle(ticket: Ticket, name: &str, used: u64) -> Result<(), CapabilityError> {
    Ok(host::settle(ticket.0, name, used)?)
}
