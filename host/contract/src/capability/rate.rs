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
mod tests;
