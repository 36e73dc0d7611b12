//! What this gateway has reserved in Redis, and what it has settled and not yet booked there.

use std::collections::HashMap;

use sluicegate_contract::capability::rate::{self, Limit};

/// The most keys for which something is to be booked while Redis cannot be reached. What is settled beyond that is lost: the
/// limit counts a little less than was used.
const DUE_MAX: usize = 100_000;

/// What is known of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Units that exchanges hold.
    pub(super) reserved: u64,
    /// Units that were reserved, and are to be given back.
    pub(super) due: u64,
    /// Units that were used of those.
    pub(super) used: u64,
    pub(super) capacity: u64,
    pub(super) period: Period,
}

/// When units come back, as the script has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Period {
    /// Milliseconds; 0 for units that are held, -1 for those of a day or a month.
    pub(super) per: i64,
    /// In how many milliseconds that is over.
    pub(super) left: u64,
}

impl Period {
    pub(super) fn of(limit: &Limit) -> Self {
        let (per, left) = match &limit.period {
            rate::Period::Held => (0, 0),
            // At most a year.
            rate::Period::Rolling(ms) => (i64::try_from(*ms).unwrap_or(i64::MAX), 0),
            rate::Period::Calendar(window) => (-1, window.left_ms),
        };
        Self { per, left }
    }
}

/// The accounts by key.
#[derive(Debug, Default)]
pub(super) struct Ledger(HashMap<String, Account>);

impl Ledger {
    /// Redis has granted this.
    pub(super) fn reserve(&mut self, key: &str, limit: &Limit) {
        let account = self.0.entry(key.to_owned()).or_default();
        account.reserved += limit.amount;
        account.capacity = limit.capacity;
        account.period = Period::of(limit);
    }

    /// An exchange has used so much of what it had reserved.
    pub(super) fn settle(&mut self, key: &str, limit: &Limit, used: u64) {
        let many = self.0.len() >= DUE_MAX;
        let account = match self.0.get_mut(key) {
            Some(account) => account,
            None if many => return,
            None => self.0.entry(key.to_owned()).or_default(),
        };
        account.reserved = account.reserved.saturating_sub(limit.amount);
        account.due = account.due.saturating_add(limit.amount);
        account.used = account.used.saturating_add(used);
        account.capacity = limit.capacity;
        account.period = Period::of(limit);
    }

    /// Takes what is to be booked of a key: the caller books it, or [puts it back](Self::put_back).
    pub(super) fn take_due(&mut self, key: &str) -> Option<Account> {
        let account = self.0.get_mut(key)?;
        let taken = *account;
        (account.due, account.used) = (0, 0);
        if account.reserved == 0 {
            self.0.remove(key);
        }
        (taken.due > 0 || taken.used > 0).then_some(taken)
    }

    /// It could not be booked.
    pub(super) fn put_back(&mut self, key: &str, taken: Account) {
        if self.0.len() >= DUE_MAX && !self.0.contains_key(key) {
            return;
        }
        let account = self.0.entry(key.to_owned()).or_default();
        account.due = account.due.saturating_add(taken.due);
        account.used = account.used.saturating_add(taken.used);
        (account.capacity, account.period) = (taken.capacity, taken.period);
    }

    /// All accounts.
    pub(super) fn all(&self) -> Vec<(String, Account)> {
        let all = self.0.iter();
        all.map(|(key, account)| (key.clone(), *account)).collect()
    }

    /// This was booked, with all that is reserved.
    pub(super) fn booked(&mut self, key: &str, of: Account) {
        if let Some(account) = self.0.get_mut(key) {
            account.due = account.due.saturating_sub(of.due);
            account.used = account.used.saturating_sub(of.used);
            if (account.reserved, account.due, account.used) == (0, 0, 0) {
                self.0.remove(key);
            }
        }
    }
}
