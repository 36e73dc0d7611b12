//! Counts of the last seconds.

use std::time::Duration;

use tokio::time::Instant;

/// How far back the counts go, and at least half of it.
const LENGTH: Duration = Duration::from_secs(10);

/// Two counts of the last ten seconds, which belong together: all, and some of them. They are kept in two halves, and the older
/// half is forgotten as a whole.
#[derive(Debug, Default)]
pub(super) struct Window {
    began: Option<Instant>,
    current: Counts,
    previous: Counts,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: u32,
    pub(super) some: u32,
}

impl Window {
    /// Counts one more; `is_one` says whether it is also one of the some.
    pub(super) fn add(&mut self, now: Instant, is_one: bool) {
        self.roll(now);
        let Counts { all, some } = &mut self.current;
        *all = all.saturating_add(1);
        *some = some.saturating_add(is_one.into());
    }

    /// Counts one more of the some, which is not among all.
    pub(super) fn add_some(&mut self, now: Instant) {
        self.roll(now);
        self.current.some = self.current.some.saturating_add(1);
    }

    /// The counts.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.roll(now);
        Counts {
            all: self.current.all.saturating_add(self.previous.all),
            some: self.current.some.saturating_add(self.previous.some),
        }
    }

    fn roll(&mut self, now: Instant) {
        let half = LENGTH / 2;
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age < half {
            return;
        }
        let current = std::mem::take(&mut self.current);
        (self.began, self.previous) = if age < LENGTH {
            (Some(began + half), current)
        } else {
            (Some(now), Counts::default())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_ten_seconds_does_not_count() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut window = Window::default();
        window.add(at(0), true);
        window.add(at(4), false);
        assert_eq!(window.counts(at(4)), Counts { all: 2, some: 1 });
        window.add(at(5), true);
        assert_eq!(window.counts(at(9)), Counts { all: 3, some: 2 });
        assert_eq!(window.counts(at(10)), Counts { all: 1, some: 1 });
        window.add_some(at(12));
        assert_eq!(window.counts(at(14)), Counts { all: 1, some: 2 });
        assert_eq!(window.counts(at(15)), Counts { all: 0, some: 1 });
        assert_eq!(window.counts(at(99)), Counts::default());
    }
}
