//! Values by key, as one plugin has them in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::Error;

/// The longest key in bytes, as in `wit/capabilities.wit`.
const KEY_MAX: usize = 512;

/// The longest value in bytes, as in `wit/capabilities.wit`.
pub const VALUE_MAX: usize = 1 << 20;

/// Bytes that a key counts for beside its own and its value's: about what the tables need for it.
const OVERHEAD: usize = 64;

/// How much a plugin may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Keys.
    pub keys: usize,
    /// Bytes of keys and values, with 64 more for each key.
    pub bytes: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            keys: 10_000,
            bytes: 16 << 20,
        }
    }
}

/// What a plugin holds.
#[derive(Debug, Default)]
pub struct Values {
    values: HashMap<Arc<str>, Value>,
    /// Those whose time will be over, soonest first.
    ending: BTreeSet<(u64, Arc<str>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Value {
    bytes: Bytes,
    /// When its time is over.
    ends: Option<u64>,
}

impl Values {
    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not legal, here and below.
    pub fn get(&self, now: u64, key: &str) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        let value = self.values.get(key);
        let value = value.filter(|value| value.ends.is_none_or(|ends| now < ends));
        Ok(value.map(|value| value.bytes.clone()))
    }

    /// Sets a value; with `only_new`, only if there is none. Returns whether it was set.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is too long, or without any time to live; [`Error::OverLimit`] if it does not fit.
    pub fn set(
        &mut self,
        now: u64,
        quota: Quota,
        key: &str,
        value: Bytes,
        ttl_ms: Option<u64>,
        only_new: bool,
    ) -> Result<bool, Error> {
        check_key(key)?;
        let ends = ends(now, ttl_ms)?;
        if value.len() > VALUE_MAX {
            return Err(Error::Invalid);
        }
        self.forget_ended(now);
        if only_new && self.values.contains_key(key) {
            return Ok(false);
        }
        self.put(quota, key, value, ends)?;
        Ok(true)
    }

    /// Adds to a number, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is something else than a number, or if the sum does not fit; [`Error::OverLimit`] as
    /// [`Values::set`].
    pub fn add(
        &mut self,
        now: u64,
        quota: Quota,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        let mut ends = ends(now, ttl_ms)?;
        self.forget_ended(now);
        let mut sum = by;
        if let Some(value) = self.values.get(key) {
            let text = std::str::from_utf8(&value.bytes).map_err(|_| Error::Invalid)?;
            let number: i64 = text.parse().map_err(|_| Error::Invalid)?;
            sum = number.checked_add(by).ok_or(Error::Invalid)?;
            ends = value.ends;
        }
        self.put(quota, key, sum.to_string().into(), ends)?;
        Ok(sum)
    }

    /// Removes a key.
    ///
    /// # Errors
    /// See [`Values::get`].
    pub fn delete(&mut self, now: u64, key: &str) -> Result<(), Error> {
        check_key(key)?;
        self.forget_ended(now);
        self.remove(key);
        Ok(())
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn put(
        &mut self,
        quota: Quota,
        key: &str,
        bytes: Bytes,
        ends: Option<u64>,
    ) -> Result<(), Error> {
        let had = self.values.get(key);
        let had_bytes = had.map_or(0, |had| size(key, &had.bytes));
        let keys = self.values.len() + usize::from(had.is_none());
        let all = self.bytes - had_bytes + size(key, &bytes);
        if keys > quota.keys || all > quota.bytes {
            return Err(Error::OverLimit);
        }
        self.remove(key);
        let key: Arc<str> = key.into();
        if let Some(ends) = ends {
            self.ending.insert((ends, key.clone()));
        }
        self.values.insert(key, Value { bytes, ends });
        self.bytes = all;
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        let Some((key, value)) = self.values.remove_entry(key) else {
            return;
        };
        self.bytes -= size(&key, &value.bytes);
        if let Some(ends) = value.ends {
            self.ending.remove(&(ends, key));
        }
    }

    /// Removes what has had its time.
    fn forget_ended(&mut self, now: u64) {
        while let Some((ends, key)) = self.ending.first()
            && *ends <= now
        {
            let key = key.clone();
            self.remove(&key);
        }
    }
}

fn size(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + OVERHEAD
}

/// Checks a key.
///
/// # Errors
/// [`Error::Invalid`]
pub fn check_key(key: &str) -> Result<(), Error> {
    if (1..=KEY_MAX).contains(&key.len()) {
        Ok(())
    } else {
        Err(Error::Invalid)
    }
}

fn ends(now: u64, ttl_ms: Option<u64>) -> Result<Option<u64>, Error> {
    match ttl_ms {
        Some(0) => Err(Error::Invalid),
        Some(ttl) => Ok(Some(now.saturating_add(ttl))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Quota = Quota {
        keys: 2,
        bytes: 300,
    };

    fn set(values: &mut Values, now: u64, key: &str, ttl: Option<u64>) -> Result<bool, Error> {
        values.set(now, SMALL, key, Bytes::from_static(b"v"), ttl, false)
    }

    fn has(values: &Values, now: u64, key: &str) -> bool {
        values.get(now, key).expect("a legal key").is_some()
    }

    #[test]
    fn a_value_lives_as_long_as_it_is_told() {
        let mut values = Values::default();
        set(&mut values, 10, "a", Some(5)).expect("room");
        set(&mut values, 10, "b", None).expect("room");
        assert!(has(&values, 14, "a") && has(&values, 14, "b"));
        assert!(!has(&values, 15, "a") && has(&values, u64::MAX, "b"));
        // Another time takes the place of the first.
        set(&mut values, 14, "a", Some(10)).expect("room");
        assert!(has(&values, 23, "a") && !has(&values, 24, "a"));
    }

    #[test]
    fn what_has_had_its_time_makes_room_and_leaves_nothing() {
        let mut values = Values::default();
        for round in 0..1_000 {
            let now = round * 10;
            set(&mut values, now, &format!("a{round}"), Some(10)).expect("room");
            set(&mut values, now, &format!("b{round}"), Some(5)).expect("room");
            let full = set(&mut values, now, "c", None);
            assert_eq!(full, Err(Error::OverLimit));
        }
        values.delete(u64::MAX, "x").expect("a legal key");
        assert!(values.is_empty() && values.ending.is_empty() && values.bytes == 0);
    }

    #[test]
    fn bytes_are_bounded_and_a_value_that_does_not_fit_changes_nothing() {
        let mut values = Values::default();
        let fits = Bytes::from(vec![0; 300 - 64 - 1]);
        values
            .set(0, SMALL, "a", fits.clone(), None, false)
            .expect("it fits exactly");
        let larger = Bytes::from(vec![0; fits.len() + 1]);
        let refused = values.set(0, SMALL, "a", larger, None, false);
        assert_eq!(refused, Err(Error::OverLimit));
        assert_eq!(values.get(0, "a"), Ok(Some(fits)));
        assert_eq!(set(&mut values, 0, "b", None), Err(Error::OverLimit));
        values.delete(0, "a").expect("a legal key");
        assert_eq!(set(&mut values, 0, "b", None), Ok(true));
    }

    #[test]
    fn a_new_value_is_set_once() {
        let mut values = Values::default();
        let mut insert = |now| {
            let value = Bytes::from_static(b"v");
            values.set(now, SMALL, "a", value, Some(10), true)
        };
        assert_eq!(
            [insert(0), insert(9), insert(10)],
            [Ok(true), Ok(false), Ok(true)]
        );
    }

    #[test]
    fn a_number_keeps_the_end_of_its_window() {
        let mut values = Values::default();
        assert_eq!(values.add(0, SMALL, "n", 2, Some(10)), Ok(2));
        assert_eq!(values.add(9, SMALL, "n", -5, Some(10)), Ok(-3));
        assert_eq!(values.get(9, "n"), Ok(Some(Bytes::from_static(b"-3"))));
        assert_eq!(values.add(10, SMALL, "n", i64::MAX, None), Ok(i64::MAX));
        assert_eq!(values.add(11, SMALL, "n", 1, None), Err(Error::Invalid));
        set(&mut values, 11, "t", None).expect("room");
        assert_eq!(values.add(11, SMALL, "t", 1, None), Err(Error::Invalid));
    }

    #[test]
    fn arguments_that_are_not_legal_are_refused() {
        let mut values = Values::default();
        let long = "k".repeat(KEY_MAX + 1);
        for key in ["", &long] {
            assert_eq!(values.get(0, key), Err(Error::Invalid));
            assert_eq!(set(&mut values, 0, key, None), Err(Error::Invalid));
            assert_eq!(values.add(0, SMALL, key, 1, None), Err(Error::Invalid));
            assert_eq!(values.delete(0, key), Err(Error::Invalid));
        }
        assert_eq!(set(&mut values, 0, "k", Some(0)), Err(Error::Invalid));
        let quota = Quota::default();
        let mut long = |length| {
            let value = Bytes::from(vec![0; length]);
            values.set(0, quota, "k", value, None, false)
        };
        assert_eq!(long(VALUE_MAX), Ok(true));
        assert_eq!(long(VALUE_MAX + 1), Err(Error::Invalid));
    }
}
