//! How much a target has to do, as far as its responses show, and for how long it should be spared.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// How fast old responses lose their weight: after this time, to a third. So a target that was slow once, with a cold model,
/// is soon tried again.
const MEMORY: Duration = Duration::from_secs(10);

/// The part of its share that a target is given when it has just come back. Arbitrary.
const LEAST: f64 = 0.1;

/// The longest time for which `retry-after` is followed: a server that says more may mean it, but nobody would notice that it
/// is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// For how long a target is passed over that refuses and does not say for how long.
const USUAL_PAUSE: Duration = Duration::from_secs(1);

/// What the last responses of one target show.
#[derive(Debug, Default)]
pub(super) struct Load(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Seconds to the first byte, and when that was last brought up to date.
    first_byte: Option<(f64, Instant)>,
    came_back: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Load {
    /// A response began after this time.
    pub(super) fn responded(&self, now: Instant, waited: Duration) {
        let mut inner = self.lock();
        let waited = waited.as_secs_f64();
        let average = match inner.first_byte {
            Some((average, since)) => {
                let weight = weight(since, now);
                average * weight + waited * (1.0 - weight)
            }
            None => waited,
        };
        inner.first_byte = Some((average, now));
    }

    /// The seconds to the first byte: an average in which later responses have more weight, and less and less without any.
    pub(super) fn first_byte(&self, now: Instant) -> f64 {
        let first_byte = self.lock().first_byte;
        first_byte.map_or(0.0, |(average, since)| average * weight(since, now))
    }

    /// The target is back after a failure.
    pub(super) fn came_back(&self, now: Instant) {
        self.lock().came_back = Some(now);
    }

    /// The part of its share that it should be given: less than 1 until `slow_start` has passed since it came back.
    pub(super) fn share(&self, now: Instant, slow_start: Duration) -> f64 {
        match self.lock().came_back {
            Some(since) if !slow_start.is_zero() => {
                let age = now.saturating_duration_since(since).as_secs_f64();
                (age / slow_start.as_secs_f64()).clamp(LEAST, 1.0)
            }
            Some(_) | None => 1.0,
        }
    }

    /// The target refuses, and wants to be asked again after so many seconds, if it says that.
    pub(super) fn pause(&self, now: Instant, seconds: Option<u64>) {
        let pause = seconds.map_or(USUAL_PAUSE, Duration::from_secs);
        self.lock().paused_until = Some(now + pause.min(LONGEST_PAUSE));
    }

    /// The target need not be spared any more: it was restarted.
    pub(super) fn resume(&self) {
        self.lock().paused_until = None;
    }

    /// For how long it wants to be spared.
    pub(super) fn paused_for(&self, now: Instant) -> Duration {
        let until = self.lock().paused_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

/// What is left of the weight of what was known at `since`.
fn weight(since: Instant, now: Instant) -> f64 {
    let age = now.saturating_duration_since(since);
    (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_response_is_forgotten() {
        let (load, mut now) = (Load::default(), Instant::now());
        assert!(load.first_byte(now) == 0.0, "nothing is known");
        load.responded(now, 120 * SECOND);
        assert!((load.first_byte(now) - 120.0).abs() < 1e-9);
        for _ in 0..60 {
            now += SECOND;
            load.responded(now, SECOND);
        }
        assert!((1.0..1.5).contains(&load.first_byte(now)));
        assert!(load.first_byte(now + 60 * SECOND) < 0.01);
    }

    #[test]
    fn what_comes_back_gets_its_share_step_by_step() {
        let (load, now) = (Load::default(), Instant::now());
        let share = |after, slow_start: u32| load.share(now + after, slow_start * SECOND);
        assert!(share(Duration::ZERO, 10) == 1.0, "it was never gone");
        load.came_back(now);
        assert!(share(Duration::ZERO, 10) == 0.1);
        assert!((share(5 * SECOND, 10) - 0.5).abs() < 1e-9);
        assert!(share(10 * SECOND, 10) == 1.0);
        assert!(share(Duration::ZERO, 0) == 1.0, "switched off");
    }

    #[test]
    fn a_pause_is_as_long_as_the_target_says_but_not_for_ever() {
        let (load, now) = (Load::default(), Instant::now());
        for (says, lasts) in [(Some(7), 7), (None, 1), (Some(u64::MAX), 60), (Some(0), 0)] {
            load.pause(now, says);
            let end = now + lasts * SECOND;
            assert!(load.paused_for(end).is_zero(), "{says:?}");
            assert_eq!(load.paused_for(now), end - now, "{says:?}");
        }
        load.pause(now, Some(7));
        load.resume();
        assert!(load.paused_for(now).is_zero());
    }
}
