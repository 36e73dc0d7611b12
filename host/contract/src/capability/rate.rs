//! Limits that exchanges share, as one plugin has them in memory.

use std::collections::{HashMap, HashSet};

use super::Error;

pub mod window;

use self::window::{Unit, Window};

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
    /// When those that were taken come back.
    pub period: Period,
}

/// When units that were taken come back; as in `wit/capabilities.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// When they are settled.
    Held,
    /// Evenly, all of them within so many milliseconds.
    Rolling(u64),
    /// All at once, when the day or the month is over in which the call was made.
    Calendar(Window),
}

impl Period {
    /// The day that has this time, in milliseconds since 1970.
    #[must_use]
    pub fn day(unix_ms: u64) -> Self {
        Self::Calendar(Window::at(Unit::Day, unix_ms))
    }

    /// The month that has this time.
    #[must_use]
    pub fn month(unix_ms: u64) -> Self {
        Self::Calendar(Window::at(Unit::Month, unix_ms))
    }
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
            && is_legal_period(&limit.period, for_good)
            && !limits[..at]
                .iter()
                .any(|other| other.name == limit.name && other.subject == limit.subject)
    };
    let legal = (1..=LIMITS_MAX).contains(&limits.len()) && limits.iter().enumerate().all(is_legal);
    if legal { Ok(()) } else { Err(Error::Invalid) }
}

fn is_legal_period(period: &Period, for_good: bool) -> bool {
    match period {
        Period::Held => !for_good,
        Period::Rolling(ms) => (1..=PERIOD_MAX).contains(ms),
        Period::Calendar(_) => true,
    }
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

/// What is counted separately: name and subject, and the [label](Window::label) of a day or a month, or "".
type Key = (String, String, String);

/// What is used of a plugin's limits.
#[derive(Debug, Default)]
pub struct Counts {
    uses: HashMap<Key, Use>,
    /// Budgets whose spend has changed since they were last asked for, if somebody asks.
    changed: Option<HashSet<Key>>,
    /// How many pairs there are when unused ones are looked for again.
    sweep_at: usize,
    /// When they were last looked for.
    swept: u64,
}

/// What was spent of a limit of a day or a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Which limit it is.
    pub name: String,
    /// Who is limited.
    pub subject: String,
    /// The [label](Window::label) of its day or month.
    pub window: String,
    /// In how many milliseconds that is over.
    pub left_ms: u64,
    /// Units that were used.
    pub spent: u64,
    /// Units that exchanges have reserved and not settled.
    pub reserved: u64,
    /// Units that there are.
    pub capacity: u64,
}

/// What is used of one limit.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Units that are held; of a day or a month, units that are reserved and not settled.
    held: u64,
    /// Units that were taken and are not back, times [`Use::per`]: they come back evenly, and these are whole numbers.
    owed: i128,
    per: u64,
    /// How fast that comes back, per millisecond.
    rate: u64,
    /// When `owed` was right.
    at: u64,
    /// When all comes back at once.
    ends: Option<u64>,
    /// Units that there are, as the last call said.
    capacity: u64,
}

impl Use {
    /// As it is now, for a limit that may have another period than before.
    fn now(mut self, now: u64, limit: &Limit) -> Self {
        self.pass(now);
        self.capacity = limit.capacity;
        let (per, rate) = match &limit.period {
            Period::Held => return self,
            Period::Rolling(ms) => (*ms, limit.capacity),
            Period::Calendar(window) => {
                if self.is_over(now) {
                    self.ends = Some(now.saturating_add(window.left_ms));
                }
                (1, 0)
            }
        };
        if per != self.per {
            let had = i128::from(self.per.max(1));
            self.owed = (self.owed / had).saturating_mul(i128::from(per));
        }
        (self.per, self.rate) = (per, rate);
        self
    }

    /// Lets time pass.
    fn pass(&mut self, now: u64) {
        let passed = i128::from(now.saturating_sub(self.at));
        let back = passed.saturating_mul(i128::from(self.rate));
        self.owed = self.owed.saturating_sub(back).max(0);
        self.at = self.at.max(now);
        if self.ends.is_some() && self.is_over(now) {
            (self.owed, self.held) = (0, 0);
        }
    }

    /// Whether its day or month is over, or has not begun.
    fn is_over(&self, now: u64) -> bool {
        self.ends.is_none_or(|ends| now >= ends)
    }

    /// Whether it is as if nobody had ever used it.
    fn is_unused(mut self, now: u64) -> bool {
        self.pass(now);
        self.held == 0 && self.owed == 0
    }

    fn standing(&self, limit: &Limit) -> Standing {
        let (amount, capacity) = (limit.amount, limit.capacity);
        let (used, per) = match limit.period {
            Period::Held => (i128::from(self.held), 1),
            Period::Rolling(_) | Period::Calendar(_) => (self.owed, i128::from(self.per)),
        };
        let all = i128::from(capacity) * per;
        let above = used + i128::from(amount) * per - all;
        let granted = amount == 0 || above <= 0;
        let back = |units: i128| match (&limit.period, self.ends) {
            (Period::Held, _) => None,
            (Period::Rolling(_), _) => {
                (capacity > 0).then(|| unsigned(ceiling(units, i128::from(self.rate))))
            }
            (Period::Calendar(_), ends) => ends.map(|ends| ends.saturating_sub(self.at)),
        };
        let retry_ms = match granted {
            true => Some(0),
            false if amount > capacity => None,
            false => back(above),
        };
        let is_whole = used == 0 && !matches!(limit.period, Period::Held);
        Standing {
            granted,
            remaining: signed((all - used).div_euclid(per)),
            retry_ms,
            reset_ms: if is_whole { Some(0) } else { back(used) },
        }
    }

    fn take(&mut self, limit: &Limit, reserves: bool) {
        match limit.period {
            Period::Held => self.held += limit.amount,
            Period::Rolling(_) => self.owe(limit.amount),
            Period::Calendar(_) => {
                self.owe(limit.amount);
                if reserves {
                    self.held += limit.amount;
                }
            }
        }
    }

    fn settle(&mut self, limit: &Limit, used: u64) {
        if !matches!(limit.period, Period::Rolling(_)) {
            self.held = self.held.saturating_sub(limit.amount);
        }
        if !matches!(limit.period, Period::Held) {
            let more = i128::from(used) - i128::from(limit.amount);
            let more = more * i128::from(self.per);
            self.owed = self.owed.saturating_add(more).max(0);
        }
    }

    fn owe(&mut self, units: u64) {
        let taken = i128::from(units) * i128::from(self.per);
        self.owed = self.owed.saturating_add(taken);
    }

    /// Units of a day or a month that were used.
    fn spent(&self) -> u64 {
        unsigned(self.owed - i128::from(self.held))
    }
}

fn ceiling(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) > 0)
}

fn signed(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn unsigned(value: i128) -> u64 {
    u64::try_from(value).unwrap_or(if value < 0 { 0 } else { u64::MAX })
}

fn key(limit: &Limit) -> Key {
    let window = match &limit.period {
        Period::Held | Period::Rolling(_) => String::new(),
        Period::Calendar(window) => window.label.clone(),
    };
    (limit.name.clone(), limit.subject.clone(), window)
}

impl Counts {
    /// Takes the amounts for good if all limits have room, and nothing otherwise. The limits must be [legal](check).
    ///
    /// # Errors
    /// [`Error::OverLimit`] if more than `pairs` would be in use; nothing is taken.
    pub fn take(&mut self, now: u64, pairs: usize, limits: &[Limit]) -> Result<Verdict, Error> {
        self.take_or_reserve(now, pairs, limits, false)
    }

    /// As [`Counts::take`], but each limit is settled later.
    ///
    /// # Errors
    /// As [`Counts::take`].
    pub fn reserve(&mut self, now: u64, pairs: usize, limits: &[Limit]) -> Result<Verdict, Error> {
        self.take_or_reserve(now, pairs, limits, true)
    }

    fn take_or_reserve(
        &mut self,
        now: u64,
        pairs: usize,
        limits: &[Limit],
        reserves: bool,
    ) -> Result<Verdict, Error> {
        self.sweep(now, pairs, limits.len());
        let mut uses: Vec<(Key, Use)> = Vec::with_capacity(limits.len());
        let mut new = 0;
        for limit in limits {
            let key = key(limit);
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
                    used.take(limit, reserves);
                    let standing = Standing {
                        granted: true,
                        retry_ms: Some(0),
                        ..used.standing(limit)
                    };
                    if !used.is_unused(now) {
                        if let (Period::Calendar(_), false, Some(changed)) =
                            (&limit.period, reserves, &mut self.changed)
                        {
                            changed.insert(key.clone());
                        }
                        self.uses.insert(key, used);
                    }
                    standing
                })
                .collect()
        } else {
            let standing = |((_, used), limit): (&(Key, Use), &Limit)| used.standing(limit);
            together().map(standing).collect()
        };
        Ok(Verdict { granted, standings })
    }

    /// `used` units of what was reserved of a limit were used: the rest comes back, or more is taken. All that is held comes back.
    pub fn settle(&mut self, now: u64, limit: &Limit, used: u64) {
        let key = key(limit);
        let had = self.uses.get(&key).copied();
        if let Period::Calendar(_) = limit.period {
            if had.is_none_or(|it| it.is_over(now)) {
                // Its day or month is over, so nobody counts it any more.
                return;
            }
            if let Some(changed) = &mut self.changed {
                changed.insert(key.clone());
            }
        }
        let mut entry = had.unwrap_or_default().now(now, limit);
        entry.settle(limit, used);
        if entry.is_unused(now) {
            self.uses.remove(&key);
        } else {
            self.uses.insert(key, entry);
        }
    }

    /// From now on, [`Counts::changed`] tells of budgets.
    pub fn tell_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// The budgets whose spend has changed since the last call. One of which nothing is spent any more has a spend of 0.
    pub fn changed(&mut self, now: u64) -> Vec<Budget> {
        let changed = self.changed.as_mut().map(std::mem::take);
        let changed = changed.unwrap_or_default().into_iter();
        changed
            .map(|key| {
                let used = self.uses.get(&key).copied().unwrap_or_default();
                budget(key, used, now)
            })
            .collect()
    }

    /// Whether [`Counts::changed`] has something to tell.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed.as_ref().is_some_and(|it| !it.is_empty())
    }

    /// These are told of again: what was to be done with them failed.
    pub fn tell_again(&mut self, budgets: Vec<Budget>) {
        if let Some(changed) = &mut self.changed {
            let keys = budgets.into_iter();
            changed.extend(keys.map(|it| (it.name, it.subject, it.window)));
        }
    }

    /// A budget as it was told of before a restart. `reserved` does not count: those exchanges are over.
    pub fn restore(&mut self, now: u64, budget: Budget) {
        let used = Use {
            owed: i128::from(budget.spent),
            per: 1,
            at: now,
            ends: Some(now.saturating_add(budget.left_ms)),
            capacity: budget.capacity,
            ..Use::default()
        };
        let key = (budget.name, budget.subject, budget.window);
        self.uses.entry(key).or_insert(used);
    }

    /// All budgets of the days and months that are not over.
    #[must_use]
    pub fn budgets(&self, now: u64) -> Vec<Budget> {
        let uses = self.uses.iter();
        let budgets = uses.filter(|(_, used)| used.ends.is_some_and(|ends| now < ends));
        budgets
            .map(|(key, used)| budget(key.clone(), *used, now))
            .collect()
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

fn budget((name, subject, window): Key, used: Use, now: u64) -> Budget {
    Budget {
        name,
        subject,
        window,
        left_ms: used.ends.unwrap_or(now).saturating_sub(now),
        spent: used.spent(),
        reserved: used.held,
        capacity: used.capacity,
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
            period: match per_ms {
                0 => Period::Held,
                ms => Period::Rolling(ms),
            },
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

    fn of_a_day(label: &str, left_ms: u64, amount: u64) -> Limit {
        let label = label.to_owned();
        Limit {
            period: Period::Calendar(Window { label, left_ms }),
            ..limit("b", amount, 100, 0)
        }
    }

    #[test]
    fn a_budget_is_whole_again_when_its_day_is_over_and_not_before() {
        let mut counts = Counts::default();
        let first = of_a_day("1", 1000, 60);
        assert!(
            counts
                .reserve(0, PAIRS, std::slice::from_ref(&first))
                .expect("room")
                .granted
        );
        let refused = take(&mut counts, 400, &[of_a_day("1", 600, 50)]);
        let standing = Standing {
            granted: false,
            remaining: 40,
            retry_ms: Some(600),
            reset_ms: Some(600),
        };
        assert_eq!(refused.standings, [standing]);
        assert_eq!(
            take(&mut counts, 400, &[of_a_day("1", 600, 101)]).standings[0].retry_ms,
            None
        );
        counts.settle(500, &first, 90);
        assert_eq!(
            take(&mut counts, 999, &[of_a_day("1", 1, 0)]).standings[0].remaining,
            10
        );
        let late = of_a_day("1", 1, 10);
        assert!(
            counts
                .reserve(999, PAIRS, std::slice::from_ref(&late))
                .expect("room")
                .granted
        );
        let next = take(&mut counts, 1000, &[of_a_day("2", 1000, 100)]);
        assert!(next.granted);
        // It was reserved on the day before, and is not counted in the next one.
        counts.settle(1001, &late, 70);
        assert_eq!(
            take(&mut counts, 1001, &[of_a_day("2", 999, 0)]).standings[0].remaining,
            0
        );
        let budgets = counts.budgets(1001);
        assert_eq!(budgets.len(), 1, "{budgets:?}");
        assert_eq!(
            take(&mut counts, 5000, &[of_a_day("3", 1, 0)]).standings[0].remaining,
            100
        );
    }

    #[test]
    fn a_budget_goes_on_after_a_restart_without_what_was_only_reserved() {
        let mut counts = Counts::default();
        assert!(counts.changed(0).is_empty());
        counts.tell_changes();
        let of = of_a_day("1", 1000, 30);
        assert!(take(&mut counts, 0, std::slice::from_ref(&of)).granted);
        assert!(
            counts
                .reserve(0, PAIRS, std::slice::from_ref(&of))
                .expect("room")
                .granted
        );
        let told = Budget {
            name: "b".into(),
            subject: "s".into(),
            window: "1".into(),
            left_ms: 900,
            spent: 30,
            reserved: 30,
            capacity: 100,
        };
        assert_eq!(counts.budgets(100), std::slice::from_ref(&told));
        assert_eq!(counts.changed(100), std::slice::from_ref(&told));
        assert!(counts.changed(100).is_empty());
        counts.tell_again(vec![told.clone()]);
        assert_eq!(counts.changed(100).len(), 1);
        counts.settle(200, &of, 45);
        assert_eq!(counts.changed(200)[0].spent, 75);

        let mut again = Counts::default();
        again.restore(7, told);
        assert_eq!(
            take(&mut again, 7, &[of_a_day("1", 900, 0)]).standings[0].remaining,
            70
        );
        assert!(!take(&mut again, 906, &[of_a_day("1", 1, 71)]).granted);
        assert!(again.budgets(907).is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_the_counting() {
        let mut counts = Counts::default();
        assert!(take(&mut counts, 0, &[of_a_day("1", 10, 100)]).granted);
        // The day has been over once, and goes on.
        assert!(take(&mut counts, 20, &[of_a_day("1", 500, 100)]).granted);
        assert!(!take(&mut counts, 30, &[of_a_day("1", 490, 100)]).granted);
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
            |it| it.period = Period::Rolling(PERIOD_MAX + 1),
            |it| it.period = Period::Rolling(0),
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
