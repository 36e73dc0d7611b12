//! What exchanges share beyond their own end: a plugin's values by key, and its limits.
//!
//! [`Shared`] is where it is kept. [`Memory`] keeps it in this process, with budgets in a [file](SpendFile), [`Redis`] in a server
//! that several gateways share. What a plugin may do, and what the numbers mean, is in `wit/capabilities.wit`; the rules are in the
//! crate `contract`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::Quota;
pub use sluicegate_contract::capability::rate::Budget;
use sluicegate_contract::capability::rate::{Limit, Verdict};

mod memory;
pub mod redis;
mod spend;

pub use self::memory::Memory;
pub use self::redis::Redis;
pub use self::spend::{Error as SpendError, SpendFile};

/// What a space is asked for. Memory gives it at once; another store may have to be waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Where plugins keep what outlives an exchange.
pub trait Shared: fmt::Debug + Send + Sync {
    /// The space of the plugin of this name. It is the same one as long as somebody holds it.
    fn space(&self, plugin: &str) -> Arc<dyn Space>;

    /// The budgets of all plugins in days and months that are not over, with the plugin's name.
    ///
    /// # Errors
    /// [`Error::Unavailable`]
    fn budgets(&self) -> Pending<'_, Vec<(String, Budget)>>;
}

/// A value that is to be set.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub value: Bytes,
    /// How long it lives, in milliseconds; `None`: until it is deleted.
    pub ttl_ms: Option<u64>,
    /// It is set only if there is none.
    pub only_new: bool,
}

/// What one plugin keeps.
///
/// # Errors
/// Those of `wit/capabilities.wit`; [`Error::Unavailable`] if the store cannot be reached. Nothing is changed then.
///
/// # Cancel safety
/// If a future is dropped, what it was asked for may have happened.
pub trait Space: fmt::Debug + Send + Sync {
    /// The value of a key.
    fn get(&self, key: String) -> Pending<'_, Option<Bytes>>;

    /// Sets a value; whether it was set.
    fn set(&self, quota: Quota, entry: Entry) -> Pending<'_, bool>;

    /// Adds to a number; the sum.
    fn add(&self, quota: Quota, key: String, by: i64, ttl_ms: Option<u64>) -> Pending<'_, i64>;

    /// Removes a key.
    fn delete(&self, key: String) -> Pending<'_, ()>;

    /// Takes the amounts of all limits for good, or of none. They are legal. `pairs` of name and subject may be in use.
    fn take<'a>(&'a self, pairs: usize, limits: &'a [Limit]) -> Pending<'a, Verdict>;

    /// As [`Space::take`], but each of the limits is settled or given back later.
    fn reserve<'a>(&'a self, pairs: usize, limits: &'a [Limit]) -> Pending<'a, Verdict>;

    /// Says how much was used of what was reserved.
    fn settle<'a>(&'a self, limit: &'a Limit, used: u64) -> Pending<'a, ()>;

    /// Gives back all that was reserved of these limits. Never waits: a store that has to be waited for does it by itself.
    fn give_back(&self, limits: Vec<Limit>);
}
