//! The budget of attempts beyond the first of each exchange, so that an upstream that fails is not asked more and more.

use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use super::window::Window;

/// How many there may be within ten seconds in any case. Arbitrary; with little traffic, a part of it would be none.
const FLOOR: u32 = 10;

/// Exchanges and further attempts of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Window>);

impl Budget {
    /// An exchange begins to ask.
    pub(super) fn begin(&self, now: Instant) {
        self.lock().add(now, false);
    }

    /// Takes one further attempt from the budget, which is this part of the exchanges; false if there is none left.
    pub(super) fn take(&self, now: Instant, percent: u32) -> bool {
        let mut window = self.lock();
        let counts = window.counts(now);
        let part = u64::from(counts.all) * u64::from(percent) / 100;
        // Without a part there is no floor: further attempts are not wanted.
        let floor = if percent == 0 { 0 } else { FLOOR };
        let is_left = u64::from(counts.some) < part.max(floor.into());
        if is_left {
            window.add_some(now);
        }
        is_left
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(budget: &Budget, now: Instant, percent: u32) -> usize {
        (0..1_000).filter(|_| budget.take(now, percent)).count()
    }

    #[test]
    fn further_attempts_are_a_part_of_the_exchanges() {
        let (budget, now) = (Budget::default(), Instant::now());
        for _ in 0..500 {
            budget.begin(now);
        }
        assert_eq!(taken(&budget, now, 20), 100);
        budget.begin(now);
        assert!(!budget.take(now, 20), "one exchange more is not enough");
        for _ in 0..4 {
            budget.begin(now);
        }
        assert!(budget.take(now, 20) && !budget.take(now, 20));
        let later = now + Duration::from_secs(10);
        assert_eq!(taken(&budget, later, 20), 10, "all of that is forgotten");
    }

    #[test]
    fn with_little_traffic_there_are_some_and_with_no_budget_none() {
        let now = Instant::now();
        assert_eq!(taken(&Budget::default(), now, 1), 10);
        assert_eq!(taken(&Budget::default(), now, 0), 0);
    }
}
