//! The breaker of a target: whether attempts go to it, as far as earlier ones show.
//!
//! # The rule
//! - **Closed**: attempts go to it. It opens when as many attempts in a row have failed as configured, or such a part of those
//!   of the last ten seconds, if there were [`ENOUGH`].
//! - **Open**: it is left alone while another target is left. At first an eighth of the longest time, doubled each time that it
//!   fails again, a little less by chance, so that several gateways do not come back at once.
//! - **Half-open**: a few attempts may try it. The first that gets a response closes the breaker, the first that fails opens it.
//!   A health check that passes after it has failed makes an open breaker half-open at once.
//!
//! What an attempt shows that began before the breaker last changed is out of date and does not count. An attempt that is made
//! although the breaker is open, because no other target is left, counts if it gets a response.
//!
//! Time and chance are arguments.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;
use sluicegate_config as config;

/// How many attempts there must have been in ten seconds before the part of those that failed means something. Arbitrary.
const ENOUGH: u32 = 20;

/// How many attempts may try a target at a time. Arbitrary; more than one, because one may wait for a cold model.
const PROBES: u32 = 3;

/// How often the time for which it stays open is doubled: from an eighth to the whole.
const DOUBLED: u32 = 3;

/// Whether attempts go to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// They do.
    Closed,
    /// A few may try.
    HalfOpen,
    /// They do not, while another target is left.
    Open,
}

impl Circuit {
    /// The name in metrics and in `/upstreams`: a member of a closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// The breaker of one target.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Attempts of the last seconds, and those that failed.
    window: Window,
    /// How often it has opened without having been closed.
    opened: u32,
    /// Counts the changes of `state`.
    generation: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        /// Attempts that try.
        probes: u32,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// An attempt has begun; one of the verdicts of [`Breaker`] must follow.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    generation: u64,
    is_probe: bool,
}

impl Breaker {
    /// Whether attempts go to the target.
    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        match self.lock().state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until } if now < until => Circuit::Open,
            State::Open { .. } | State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// For how long it stays open.
    pub(super) fn open_for(&self, now: Instant) -> Duration {
        match self.lock().state {
            State::Open { until } => until.saturating_duration_since(now),
            State::Closed { .. } | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// Whether one more attempt may go to it.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        match self.lock().state {
            State::Closed { .. } => true,
            State::Open { until } => now >= until,
            State::HalfOpen { probes } => probes < PROBES,
        }
    }

    /// An attempt begins, let through or not.
    pub(super) fn begin(&self, now: Instant) -> Permit {
        let mut inner = self.lock();
        if matches!(inner.state, State::Open { until } if now >= until) {
            inner.change_to(State::HalfOpen { probes: 0 });
        }
        let is_probe = match &mut inner.state {
            State::HalfOpen { probes } if *probes < PROBES => {
                *probes += 1;
                true
            }
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => false,
        };
        Permit {
            generation: inner.generation,
            is_probe,
        }
    }

    /// The attempt gets a response: if the breaker was not closed, it is now, and that is returned as true. How the response
    /// ends counts as ever.
    pub(super) fn responded(&self, permit: &mut Permit) -> bool {
        let mut inner = self.lock();
        let is_closed = matches!(inner.state, State::Closed { .. });
        if is_closed || permit.generation != inner.generation {
            return false;
        }
        inner.change_to(State::default());
        (inner.opened, inner.window) = (0, Window::default());
        permit.generation = inner.generation;
        true
    }

    /// The attempt has ended as it should.
    pub(super) fn succeeded(&self, permit: &Permit, now: Instant) {
        let mut inner = self.lock();
        if permit.generation == inner.generation
            && let State::Closed { failures } = &mut inner.state
        {
            *failures = 0;
            inner.window.add(now, false);
        }
    }

    /// The attempt has failed through the target's fault. Returns for how long the breaker opens, if it does; `chance` is a
    /// random number.
    pub(super) fn failed(
        &self,
        permit: &Permit,
        settings: &config::Breaker,
        now: Instant,
        chance: u64,
    ) -> Option<Duration> {
        let longest = settings.open?;
        let mut inner = self.lock();
        if permit.generation != inner.generation {
            return None;
        }
        let opens = match &mut inner.state {
            State::Open { .. } => false,
            State::HalfOpen { .. } => true,
            State::Closed { failures } => {
                *failures += 1;
                let in_a_row = *failures >= settings.failures;
                inner.window.add(now, true);
                let counts = inner.window.counts(now);
                let part = u64::from(counts.some) * 100 / u64::from(counts.all.max(1));
                in_a_row || (counts.all >= ENOUGH && part >= u64::from(settings.rate))
            }
        };
        opens.then(|| {
            let wait = wait(longest, inner.opened, chance);
            inner.opened = inner.opened.saturating_add(1);
            inner.change_to(State::Open { until: now + wait });
            wait
        })
    }

    /// The attempt has ended before anything was known: others may try in its place.
    pub(super) fn cancelled(&self, permit: &Permit) {
        let mut inner = self.lock();
        let is_known = permit.is_probe && permit.generation == inner.generation;
        if let State::HalfOpen { probes } = &mut inner.state
            && is_known
        {
            *probes -= 1;
        }
    }

    /// The target has recovered, as far as its health check shows.
    pub(super) fn recovered(&self) {
        let mut inner = self.lock();
        if let State::Open { .. } = inner.state {
            inner.opened = 0;
            inner.change_to(State::HalfOpen { probes: 0 });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

impl Inner {
    fn change_to(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

/// For how long it opens, after having opened so often before: up to a quarter less by chance.
fn wait(longest: Duration, opened: u32, chance: u64) -> Duration {
    let wait = longest / 2_u32.pow(DOUBLED.saturating_sub(opened));
    let less = u32::try_from(chance % 256).unwrap_or(0);
    wait - wait / 4 * less / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> config::Breaker {
        config::Breaker {
            failures: 3,
            rate: 50,
            open: Some(8 * SECOND),
        }
    }

    fn fail(breaker: &Breaker, now: Instant) -> Option<Duration> {
        breaker.failed(&breaker.begin(now), &settings(), now, 0)
    }

    fn succeed(breaker: &Breaker, now: Instant) -> bool {
        let mut permit = breaker.begin(now);
        let came_back = breaker.responded(&mut permit);
        breaker.succeeded(&permit, now);
        came_back
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        let last = (0..3).map(|_| fail(&breaker, now)).last().flatten();
        assert_eq!(last, Some(SECOND));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..2 {
            assert_eq!((fail(&breaker, now), fail(&breaker, now)), (None, None));
            assert!(!succeed(&breaker, now), "it was closed");
        }
        fail(&breaker, now);
        fail(&breaker, now);
        assert!(breaker.lets_through(now));
        assert_eq!(fail(&breaker, now), Some(SECOND));
        assert_eq!(breaker.circuit(now), Circuit::Open);
        assert!(!breaker.lets_through(now));
    }

    #[test]
    fn it_opens_when_a_large_part_fails() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..9 {
            assert_eq!(fail(&breaker, now), None);
            succeed(&breaker, now);
        }
        assert_eq!(fail(&breaker, now), None, "19 are not enough");
        assert_eq!(fail(&breaker, now), Some(SECOND));
        // The same failures, but not within ten seconds.
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..30 {
            assert_eq!(fail(&breaker, now), None);
            succeed(&breaker, now);
            now += SECOND;
        }
    }

    #[test]
    fn it_is_left_alone_for_longer_and_longer_and_tried_by_a_few() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for wait in [1, 2, 4, 8, 8].map(|seconds| seconds * SECOND) {
            assert_eq!(breaker.circuit(now + wait - SECOND / 100), Circuit::Open);
            now += wait;
            assert_eq!(breaker.circuit(now), Circuit::HalfOpen);
            let mut probes: Vec<_> = (0..PROBES).map(|_| breaker.begin(now)).collect();
            assert!(!breaker.lets_through(now), "enough of them try");
            let next = breaker.failed(&probes[0], &settings(), now, 0);
            assert_eq!(next, Some((wait * 2).min(8 * SECOND)));
            // What the others show is out of date.
            assert_eq!(breaker.failed(&probes[1], &settings(), now, 0), None);
            assert!(!breaker.responded(&mut probes[2]));
        }
    }

    #[test]
    fn a_response_closes_it_and_an_attempt_that_is_cancelled_makes_room() {
        let now = Instant::now();
        let breaker = opened(now);
        let now = now + SECOND;
        let mut probes: Vec<_> = (0..PROBES).map(|_| breaker.begin(now)).collect();
        let beyond = breaker.begin(now);
        breaker.cancelled(&beyond);
        assert!(!breaker.lets_through(now), "it had no place");
        breaker.cancelled(&probes[0]);
        assert!(breaker.lets_through(now));
        assert!(breaker.responded(&mut probes[1]), "it is back");
        assert!(!breaker.responded(&mut probes[2]), "it was back");
        assert_eq!(breaker.circuit(now), Circuit::Closed);
        let breaks_off = breaker.failed(&probes[1], &settings(), now, 0);
        assert_eq!((breaks_off, fail(&breaker, now)), (None, None));
        assert_eq!(fail(&breaker, now), Some(SECOND), "it begins anew");
    }

    #[test]
    fn health_that_comes_back_makes_it_half_open_at_once() {
        let now = Instant::now();
        let breaker = opened(now);
        breaker.recovered();
        assert_eq!(breaker.circuit(now), Circuit::HalfOpen);
        assert!(breaker.lets_through(now));
        assert_eq!(fail(&breaker, now), Some(SECOND), "the shortest time again");
        let closed = Breaker::default();
        fail(&closed, now);
        closed.recovered();
        assert_eq!(closed.circuit(now), Circuit::Closed);
    }

    #[test]
    fn an_attempt_that_is_made_all_the_same_can_close_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(fail(&breaker, now), None, "it is open already");
        assert!(succeed(&breaker, now));
        assert_eq!(breaker.circuit(now), Circuit::Closed);
    }

    #[test]
    fn chance_makes_the_time_up_to_a_quarter_shorter() {
        let waits = [0, 128, 255].map(|chance| wait(8 * SECOND, 3, chance));
        assert_eq!(waits[0], 8 * SECOND);
        assert_eq!(waits[1], 7 * SECOND);
        assert!(waits[2] > 6 * SECOND && waits[2] < 7 * SECOND);
    }

    #[test]
    fn switched_off_it_stays_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let off = config::Breaker {
            open: None,
            ..settings()
        };
        for _ in 0..100 {
            assert_eq!(breaker.failed(&breaker.begin(now), &off, now, 0), None);
        }
        assert_eq!(breaker.circuit(now), Circuit::Closed);
    }
}
