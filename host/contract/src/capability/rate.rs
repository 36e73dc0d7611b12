//! Limits that exchanges share, as one plugin has them in memory.

use std::collections::HashMap;

use super::Error;

/// The most limits of a call, as in `wit/capabilities.wit`.
const LIMITS_MAX: usize = 16;

/// The longest name and subject in bytes, as there.
const NAME_MAX: usize = 64;
const SUBJECT_MAX: usize = 256;

/// The largest amount and capacity, as there.
const UNITS_MAX: u64 = 1 << 53;

/// The longest period, as there: 366 days.
const PERIOD_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Pairs of name and subject that a plugin may have in use, where its grant says nothing else.
pub const PAIRS: usize = 100_000;

/// Pairs from which on it is worth to look for those that nobody uses any more.
const SWEEP_MIN: usize = 1024;

/// How often they are looked for, in milliseconds, where there is no room: it takes a millisecond.
const SWEEP_AGAIN: u64 = 100;

/// One limit of a call; as in `wit/capabilities.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which limit it is.
    pub name: String,
    /// Who is limited.
    pub subject: String,
    /// Units to be taken.
    pub amount: u64,
    /// Units that there are.
    pub capacity: u64,
    /// The period in milliseconds in which they come back; 0 if they are held.
    pub per_ms: u64,
}

/// How a limit stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It had room.
    pub granted: bool,
    /// Units left.
    pub remaining: i64,
    /// When the amount would be granted.
    pub retry_ms: Option<u64>,
    /// When all units are back.
    pub reset_ms: Option<u64>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The amounts were taken.
    pub granted: bool,
    /// One for each limit.
    pub standings: Vec<Standing>,
}

/// Checks the limits of a call. With `for_good` none of them may be held.
///
/// # Errors
/// [`Error::Invalid`]
pub fn check(limits: &[Limit], for_good: bool) -> Result<(), Error> {
    let is_legal = |(at, limit): (usize, &Limit)| {
        (1..=NAME_MAX).contains(&limit.name.len())
            && limit.subject.len() <= SUBJECT_MAX
            && limit.amount <= UNITS_MAX
            && limit.capacity <= UNITS_MAX
            && limit.per_ms <= PERIOD_MAX
            && !(for_good && limit.per_ms == 0)
            && !limits[..at]
                .iter()
                .any(|other| other.name == limit.name && other.subject == limit.subject)
    };
    let legal = (1..=LIMITS_MAX).contains(&limits.len()) && limits.iter().enumerate().all(is_legal);
    if legal { Ok(()) } else { Err(Error::Invalid) }
}

/// Checks how much is said to have been used.
///
/// # Errors
/// [`Error::Invalid`]
pub fn check_used(used: u64) -> Result<(), Error> {
    if used <= UNITS_MAX {
        Ok(())
    } else {
        Err(Error::Invalid)
    }
}

/// What is used of a plugin's limits.
#[derive(Debug, Default)]
pub struct Counts {
    /// By name and subject.
    uses: HashMap<(String, String), Use>,
    /// How many pairs there are when unused ones are looked for again.
    sweep_at: usize,
    /// When they were last looked for.
    swept: u64,
}

/// What is used of one limit.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Units that are held.
    held: u64,
    /// Units that were taken and are not back, times the period: they come back evenly, and these are whole numbers.
    owed: i128,
    per_ms: u64,
    /// How fast that comes back, per millisecond.
    capacity: u64,
    /// When `owed` was right.
    at: u64,
}

impl Use {
    /// As it is now, for a limit that may have another period than before.
    fn now(mut self, now: u64, limit: &Limit) -> Self {
        self.pass(now);
        if limit.per_ms > 0 && limit.per_ms != self.per_ms {
            let had = i128::from(self.per_ms.max(1));
            self.owed = (self.owed / had).saturating_mul(i128::from(limit.per_ms));
            self.per_ms = limit.per_ms;
        }
        if limit.per_ms > 0 {
            self.capacity = limit.capacity;
        }
        self
    }

    /// Lets time pass.
    fn pass(&mut self, now: u64) {
        let passed = i128::from(now.saturating_sub(self.at));
        let back = passed.saturating_mul(i128::from(self.capacity));
        self.owed = self.owed.saturating_sub(back).max(0);
        self.at = self.at.max(now);
    }

    /// Whether it is as if nobody had ever used it.
    fn is_unused(mut self, now: u64) -> bool {
        self.pass(now);
        self.held == 0 && self.owed == 0
    }

    fn standing(&self, limit: &Limit) -> Standing {
        let Limit {
            amount,
            capacity,
            per_ms,
            ..
        } = *limit;
        if per_ms == 0 {
            let granted = amount == 0
                || self
                    .held
                    .checked_add(amount)
                    .is_some_and(|all| all <= capacity);
            return Standing {
                granted,
                remaining: signed(i128::from(capacity) - i128::from(self.held)),
                retry_ms: granted.then_some(0),
                reset_ms: None,
            };
        }
        let (all, per, rate) = (
            i128::from(capacity) * i128::from(per_ms),
            i128::from(per_ms),
            i128::from(capacity),
        );
        let above = self.owed + i128::from(amount) * per - all;
        let granted = amount == 0 || above <= 0;
        let retry_ms = if granted {
            Some(0)
        } else {
            (amount <= capacity && capacity > 0).then(|| unsigned(ceiling(above, rate)))
        };
        Standing {
            granted,
            remaining: signed((all - self.owed).div_euclid(per)),
            retry_ms,
            reset_ms: if self.owed == 0 {
                Some(0)
            } else {
                (capacity > 0).then(|| unsigned(ceiling(self.owed, rate)))
            },
        }
    }

    fn take(&mut self, limit: &Limit) {
        if limit.per_ms == 0 {
            self.held += limit.amount;
        } else {
            let taken = i128::from(limit.amount) * i128::from(limit.per_ms);
            self.owed = self.owed.saturating_add(taken);
        }
    }
}

fn ceiling(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) > 0)
}

fn signed(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn unsigned(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Counts {
    /// Takes the amounts if all limits have room, and nothing otherwise. The limits must be [legal](check).
    ///
    /// # Errors
    /// [`Error::OverLimit`] if more than `pairs` would be in use; nothing is taken.
    pub fn take(&mut self, now: u64, pairs: usize, limits: &[Limit]) -> Result<Verdict, Error> {
        self.sweep(now, pairs, limits.len());
        let mut uses: Vec<((String, String), Use)> = Vec::with_capacity(limits.len());
        let mut new = 0;
        for limit in limits {
            let key = (limit.name.clone(), limit.subject.clone());
            let had = self.uses.get(&key).copied();
            new += usize::from(had.is_none() && limit.amount > 0);
            uses.push((key, had.unwrap_or_default().now(now, limit)));
        }
        if new > 0 && self.uses.len() + new > pairs {
            return Err(Error::OverLimit);
        }
        let together = || uses.iter().zip(limits);
        let granted = together().all(|((_, used), limit)| used.standing(limit).granted);
        let standings = if granted {
            let taken = uses.into_iter().zip(limits);
            taken
                .map(|((key, mut used), limit)| {
                    used.take(limit);
                    let standing = Standing {
                        granted: true,
                        retry_ms: Some(0),
                        ..used.standing(limit)
                    };
                    if !used.is_unused(now) {
                        self.uses.insert(key, used);
                    }
                    standing
                })
                .collect()
        } else {
            let standing = |((_, used), limit): (&(_, Use), &Limit)| used.standing(limit);
            together().map(standing).collect()
        };
        Ok(Verdict { granted, standings })
    }

    /// `used` units of what was taken of a limit were used: the rest comes back, or more is taken. All that is held comes back.
    pub fn settle(&mut self, now: u64, limit: &Limit, used: u64) {
        let key = (limit.name.clone(), limit.subject.clone());
        let had = self.uses.get(&key).copied().unwrap_or_default();
        let mut entry = had.now(now, limit);
        if limit.per_ms == 0 {
            entry.held = entry.held.saturating_sub(limit.amount);
        } else {
            let more = i128::from(used) - i128::from(limit.amount);
            let more = more * i128::from(limit.per_ms);
            entry.owed = entry.owed.saturating_add(more).max(0);
        }
        if entry.is_unused(now) {
            self.uses.remove(&key);
        } else {
            self.uses.insert(key, entry);
        }
    }

    /// Pairs in use, and those that were and have not been looked at since.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.uses.len()
    }

    /// Forgets pairs that nobody uses any more, if there are many, or if there is no room for `more`. What is left doubles before
    /// the next time, or time passes, so that this costs each call little.
    fn sweep(&mut self, now: u64, pairs: usize, more: usize) {
        let wanted = self.uses.len() + more;
        let many = wanted > self.sweep_at.max(SWEEP_MIN);
        let again = self.swept.saturating_add(SWEEP_AGAIN);
        let full = wanted > pairs && (self.swept == 0 || now >= again);
        if many || full {
            self.uses.retain(|_, used| !used.is_unused(now));
            self.sweep_at = self.uses.len() * 2;
            self.swept = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, amount: u64, capacity: u64, per_ms: u64) -> Limit {
        Limit {
            name: name.into(),
            subject: "s".into(),
            amount,
            capacity,
            per_ms,
        }
    }

    fn take(counts: &mut Counts, now: u64, limits: &[Limit]) -> Verdict {
        check(limits, false).expect("legal");
        counts.take(now, PAIRS, limits).expect("room for pairs")
    }

    #[test]
    fn units_come_back_evenly() {
        let mut counts = Counts::default();
        let of = [limit("r", 1, 10, 1000)];
        for left in (0..10).rev() {
            let verdict = take(&mut counts, 0, &of);
            assert!(verdict.granted);
            assert_eq!(verdict.standings[0].remaining, left);
        }
        let refused = take(&mut counts, 0, &of);
        let standing = Standing {
            granted: false,
            remaining: 0,
            retry_ms: Some(100),
            reset_ms: Some(1000),
        };
        assert_eq!(
            (refused.granted, refused.standings),
            (false, vec![standing])
        );
        assert!(!take(&mut counts, 99, &of).granted);
        assert!(take(&mut counts, 100, &of).granted);
        assert!(!take(&mut counts, 100, &of).granted);
        let mut granted = 0;
        for now in 101..=10_100 {
            granted += u64::from(take(&mut counts, now, &of).granted);
        }
        assert_eq!(granted, 100, "the rate, whatever asks in between");
    }

    #[test]
    fn all_limits_are_taken_or_none() {
        let mut counts = Counts::default();
        let of = [limit("a", 5, 10, 1000), limit("b", 5, 5, 1000)];
        assert!(take(&mut counts, 0, &of).granted);
        let refused = take(&mut counts, 0, &of);
        assert!(!refused.granted);
        let granted: Vec<_> = refused.standings.iter().map(|it| it.granted).collect();
        assert_eq!(granted, [true, false]);
        assert_eq!(refused.standings[0].remaining, 5, "nothing was taken");
        assert!(take(&mut counts, 0, &[limit("a", 5, 10, 1000)]).granted);
    }

    #[test]
    fn held_units_come_back_only_when_they_are_settled() {
        let mut counts = Counts::default();
        let of = [limit("c", 1, 2, 0)];
        assert!(take(&mut counts, 0, &of).granted && take(&mut counts, 0, &of).granted);
        let refused = take(&mut counts, u64::MAX, &of);
        let standing = Standing {
            granted: false,
            remaining: 0,
            retry_ms: None,
            reset_ms: None,
        };
        assert_eq!(refused.standings, [standing]);
        counts.settle(0, &of[0], 0);
        assert!(take(&mut counts, 0, &of).granted);
        counts.settle(0, &of[0], 7);
        counts.settle(0, &of[0], 1);
        assert_eq!(counts.pairs(), 0);
    }

    #[test]
    fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
        let mut counts = Counts::default();
        let look = [limit("t", 0, 100, 1000)];
        let of = [limit("t", 60, 100, 1000)];
        assert!(take(&mut counts, 0, &of).granted);
        counts.settle(0, &of[0], 10);
        assert_eq!(take(&mut counts, 0, &look).standings[0].remaining, 90);
        assert!(take(&mut counts, 0, &of).granted);
        counts.settle(0, &of[0], 250);
        let below = take(&mut counts, 0, &look);
        assert!(below.granted, "looking is always granted");
        assert_eq!(below.standings[0].remaining, -160);
        assert_eq!(below.standings[0].reset_ms, Some(2600));
        assert_eq!(take(&mut counts, 2600, &look).standings[0].remaining, 100);
    }

    #[test]
    fn another_capacity_or_period_counts_on() {
        let mut counts = Counts::default();
        take(&mut counts, 0, &[limit("r", 50, 100, 1000)]);
        let wider = [limit("r", 0, 200, 2000)];
        assert_eq!(take(&mut counts, 0, &wider).standings[0].remaining, 150);
        let none = [limit("r", 1, 0, 1000)];
        let refused = take(&mut counts, 0, &none);
        assert_eq!(refused.standings[0].retry_ms, None);
        assert_eq!(refused.standings[0].reset_ms, None);
    }

    #[test]
    fn pairs_are_bounded_and_free_again_when_their_units_are_back() {
        let mut counts = Counts::default();
        let mut ask = |now, subject: u64, amount| {
            let mut of = limit("r", amount, 1, 1000);
            of.subject = subject.to_string();
            counts.take(now, 3, &[of])
        };
        for subject in 0..3 {
            assert!(ask(0, subject, 1).expect("room").granted);
        }
        assert_eq!(ask(999, 3, 1), Err(Error::OverLimit));
        assert!(ask(999, 3, 0).expect("looking needs no room").granted);
        assert!(!ask(999, 0, 1).expect("it is in use").granted);
        for subject in 3..1_000 {
            assert!(ask(subject * 1000, subject, 1).expect("room").granted);
        }
        assert!(counts.pairs() <= 3);
    }

    #[test]
    fn the_largest_legal_numbers_do_not_overflow() {
        let mut counts = Counts::default();
        let of = [limit("r", UNITS_MAX, UNITS_MAX, PERIOD_MAX)];
        assert!(take(&mut counts, 0, &of).granted);
        for _ in 0..100 {
            counts.settle(0, &of[0], UNITS_MAX);
        }
        let slow = [limit("r", 0, 1, PERIOD_MAX)];
        let standing = take(&mut counts, u64::MAX, &slow).standings[0];
        assert!(standing.granted);
    }

    #[test]
    fn limits_that_are_not_legal_are_refused() {
        let good = limit("r", 1, 1, 1);
        let with = |change: fn(&mut Limit)| {
            let mut limit = good.clone();
            change(&mut limit);
            check(&[limit], false)
        };
        assert_eq!(with(|_| {}), Ok(()));
        for change in [
            (|it| it.name.clear()) as fn(&mut Limit),
            |it| it.name = "n".repeat(NAME_MAX + 1),
            |it| it.subject = "s".repeat(SUBJECT_MAX + 1),
            |it| it.amount = UNITS_MAX + 1,
            |it| it.capacity = UNITS_MAX + 1,
            |it| it.per_ms = PERIOD_MAX + 1,
        ] {
            assert_eq!(with(change), Err(Error::Invalid));
        }
        assert_eq!(check(&[], false), Err(Error::Invalid));
        assert_eq!(
            check(&[good.clone(), good.clone()], false),
            Err(Error::Invalid)
        );
        let many: Vec<_> = (0..=LIMITS_MAX)
            .map(|n| limit(&n.to_string(), 1, 1, 1))
            .collect();
        assert_eq!(check(&many, false), Err(Error::Invalid));
        assert_eq!(check(&many[1..], false), Ok(()));
        assert_eq!(check(&[limit("c", 1, 1, 0)], true), Err(Error::Invalid));
        assert_eq!(check_used(UNITS_MAX + 1), Err(Error::Invalid));
    }
}
