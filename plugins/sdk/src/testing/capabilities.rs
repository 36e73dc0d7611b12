//! Capabilities in native tests: all are granted, state is in memory, and requests get what the test says. One set per thread, so
//! that tests do not affect each other. Time is that of [`set_clock`](super::set_clock).
//!
//! ```
//! use sluicegate_plugin::http::{Request, Response};
//! use sluicegate_plugin::testing::capabilities;
//!
//! capabilities::on_request(|request| {
//!     assert_eq!(request.url, "https://idp.example/");
//!     Ok(Response { status: 204, ..Response::default() })
//! });
//! assert_eq!(Request::get("https://idp.example/").send().map(|it| it.status), Ok(204));
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use sluicegate_contract::capability::Capability;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::Values;
use sluicegate_contract::capability::rate::{Counts, Limit};

use super::host::unix_ms;
use crate::CapabilityError;
use crate::http::{Request, Response};

/// What stands in for other servers.
type Handler = Box<dyn FnMut(&Request) -> Result<Response, CapabilityError>>;

/// A metric's name, and its labels in order.
type Series = (String, Vec<(String, String)>);

#[derive(Default)]
struct Host {
    denied: Vec<Capability>,
    values: Values,
    counts: Counts,
    /// Reservations that are not settled, by their tickets; `None` outside an exchange.
    reserved: Option<BTreeMap<u64, Vec<Limit>>>,
    last_ticket: u64,
    handler: Option<Handler>,
    metrics: BTreeMap<Series, f64>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

fn with<T>(
    capability: Capability,
    use_it: impl FnOnce(&mut Host) -> Result<T, Error>,
) -> Result<T, Error> {
    HOST.with_borrow_mut(|host| {
        if host.denied.contains(&capability) {
            return Err(Error::Denied);
        }
        use_it(host)
    })
}

/// Responds to the requests of this thread from now on. Without a handler they are denied.
pub fn on_request(handler: impl FnMut(&Request) -> Result<Response, CapabilityError> + 'static) {
    HOST.with_borrow_mut(|host| host.handler = Some(Box::new(handler)));
}

/// Denies a capability from now on.
pub fn deny(capability: Capability) {
    HOST.with_borrow_mut(|host| host.denied.push(capability));
}

/// Forgets all values, limits and metrics, and grants everything.
pub fn reset() {
    HOST.set(Host::default());
}

/// The sum of what was counted or observed under this name with these labels, which are in the order of their names.
pub fn measured(name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let series = (name.to_owned(), labels.collect());
    HOST.with_borrow(|host| host.metrics.get(&series).copied().unwrap_or_default())
}

/// The reservations of one exchange: what is left of them is given back at its end.
pub(crate) struct Reservations(());

impl Reservations {
    pub(crate) fn begin() -> Self {
        HOST.with_borrow_mut(|host| host.reserved = Some(BTreeMap::new()));
        Self(())
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        HOST.with_borrow_mut(|host| {
            for limit in host
                .reserved
                .take()
                .into_iter()
                .flatten()
                .flat_map(|it| it.1)
            {
                host.counts.settle(unix_ms(), &limit, 0);
            }
        });
    }
}

pub(crate) mod kv {
    use bytes::Bytes;
    use sluicegate_contract::capability::kv::Quota;

    use super::{Capability, Error, unix_ms, with};

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        let value = with(Capability::Kv, |host| host.values.get(unix_ms(), key))?;
        Ok(value.map(Vec::from))
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Error> {
        put(key, value, ttl_ms, false).map(drop)
    }

    pub(crate) fn insert(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, Error> {
        put(key, value, ttl_ms, true)
    }

    fn put(key: &str, value: &[u8], ttl_ms: Option<u64>, only_new: bool) -> Result<bool, Error> {
        let value = Bytes::copy_from_slice(value);
        with(Capability::Kv, |host| {
            let quota = Quota::default();
            host.values
                .set(unix_ms(), quota, key, value, ttl_ms, only_new)
        })
    }

    pub(crate) fn add(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, Error> {
        with(Capability::Kv, |host| {
            host.values
                .add(unix_ms(), Quota::default(), key, by, ttl_ms)
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        with(Capability::Kv, |host| host.values.delete(unix_ms(), key))
    }
}

pub(crate) mod rate {
    pub(crate) use sluicegate_contract::capability::rate::Standing;
    use sluicegate_contract::capability::rate::{self as rules, PAIRS, check, check_used};

    use super::{Capability, Error, unix_ms, with};

    /// As the contract's.
    pub(crate) enum Period {
        Held,
        Rolling(u64),
        Day,
        Month,
    }

    /// As the contract's.
    pub(crate) struct Limit {
        pub(crate) name: String,
        pub(crate) subject: String,
        pub(crate) amount: u64,
        pub(crate) capacity: u64,
        pub(crate) period: Period,
    }

    fn now(limits: &[Limit]) -> Vec<rules::Limit> {
        let limit = |limit: &Limit| rules::Limit {
            name: limit.name.clone(),
            subject: limit.subject.clone(),
            amount: limit.amount,
            capacity: limit.capacity,
            period: match limit.period {
                Period::Held => rules::Period::Held,
                Period::Rolling(ms) => rules::Period::Rolling(ms),
                Period::Day => rules::Period::day(unix_ms()),
                Period::Month => rules::Period::month(unix_ms()),
            },
        };
        limits.iter().map(limit).collect()
    }

    pub(crate) struct Verdict {
        pub(crate) granted: bool,
        pub(crate) ticket: u64,
        pub(crate) standings: Vec<Standing>,
    }

    pub(crate) fn take(of: &[Limit]) -> Result<Verdict, Error> {
        with(Capability::Rate, |host| {
            let of = now(of);
            check(&of, true)?;
            let verdict = host.counts.take(unix_ms(), PAIRS, &of)?;
            Ok(Verdict {
                granted: verdict.granted,
                ticket: 0,
                standings: verdict.standings,
            })
        })
    }

    pub(crate) fn reserve(of: &[Limit]) -> Result<Verdict, Error> {
        with(Capability::Rate, |host| {
            let of = now(of);
            check(&of, false)?;
            let reserved = host.reserved.as_mut().ok_or(Error::Invalid)?;
            let verdict = host.counts.reserve(unix_ms(), PAIRS, &of)?;
            let mut ticket = 0;
            if verdict.granted {
                host.last_ticket += 1;
                ticket = host.last_ticket;
                reserved.insert(ticket, of);
            }
            Ok(Verdict {
                granted: verdict.granted,
                ticket,
                standings: verdict.standings,
            })
        })
    }

    pub(crate) fn settle(ticket: u64, name: &str, used: u64) -> Result<(), Error> {
        with(Capability::Rate, |host| {
            check_used(used)?;
            let reserved = host.reserved.as_mut().ok_or(Error::Invalid)?;
            let limits = reserved.get_mut(&ticket).ok_or(Error::Invalid)?;
            let settled: Vec<_> = limits.extract_if(.., |it| it.name == name).collect();
            for limit in &settled {
                host.counts.settle(unix_ms(), limit, used);
            }
            if settled.is_empty() {
                return Err(Error::Invalid);
            }
            Ok(())
        })
    }
}

pub(crate) mod http {
    pub(crate) use crate::http::{Request, Response};

    use super::{Capability, CapabilityError, HOST, with};

    pub(crate) fn send(request: &Request) -> Result<Response, CapabilityError> {
        let handler = with(Capability::Http, |host| Ok(host.handler.take()))?;
        let mut handler = handler.ok_or(CapabilityError::Denied)?;
        // The host is not borrowed meanwhile: the handler may use it.
        let response = handler(request);
        HOST.with_borrow_mut(|host| {
            host.handler.get_or_insert(handler);
        });
        response
    }
}

pub(crate) mod metrics {
    use sluicegate_contract::capability::metrics::check;

    use super::{Capability, Error, with};

    pub(crate) fn count(name: &str, by: u64, labels: &[(String, String)]) -> Result<(), Error> {
        #[expect(clippy::cast_precision_loss, reason = "tests count little")]
        observe(name, by as f64, labels)
    }

    pub(crate) fn observe(
        name: &str,
        value: f64,
        labels: &[(String, String)],
    ) -> Result<(), Error> {
        with(Capability::Metrics, |host| {
            let mut labels = labels.to_vec();
            check(name, &mut labels)?;
            if !value.is_finite() {
                return Err(Error::Invalid);
            }
            *host.metrics.entry((name.to_owned(), labels)).or_default() += value;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::set_clock;
    use crate::{http, kv, metrics, rate};

    #[test]
    fn values_end_with_their_time() {
        set_clock(1_000);
        let second = Some(Duration::from_secs(1));
        assert_eq!(kv::insert("k", "a", second), Ok(true));
        assert_eq!(kv::insert("k", "b", second), Ok(false));
        assert_eq!(kv::add("n", 2, second), Ok(2));
        set_clock(2_000);
        assert_eq!(kv::get("k"), Ok(None));
        assert_eq!(kv::add("n", 2, second), Ok(2));
        kv::set("k", "c", None).expect("room");
        kv::delete("k").expect("legal");
        assert_eq!(kv::get("k"), Ok(None));
        deny(Capability::Kv);
        assert_eq!(kv::get("k"), Err(CapabilityError::Denied));
        reset();
        assert_eq!(kv::get("n"), Ok(None));
    }

    #[test]
    fn reservations_are_given_back_when_the_exchange_is_over() {
        let held = [rate::Limit::held("slots", "a", 1)];
        assert_eq!(rate::reserve(&held), Err(CapabilityError::Invalid));
        for _ in 0..2 {
            let exchange = Reservations::begin();
            assert!(rate::reserve(&held).expect("legal").granted);
            assert!(!rate::reserve(&held).expect("legal").granted);
            drop(exchange);
        }
        let _exchange = Reservations::begin();
        let verdict = rate::reserve(&held).expect("legal");
        assert_eq!(rate::settle(verdict.ticket, "slots", 0), Ok(()));
        assert_eq!(
            rate::settle(verdict.ticket, "slots", 0),
            Err(CapabilityError::Invalid)
        );
        assert!(rate::reserve(&held).expect("legal").granted);
    }

    #[test]
    fn a_request_without_a_handler_is_denied() {
        let send = || http::Request::get("https://a/").send().map(|it| it.status);
        assert_eq!(send(), Err(CapabilityError::Denied));
        on_request(|_| {
            kv::add("asked", 1, None)?;
            Ok(Response {
                status: 200,
                ..Response::default()
            })
        });
        assert_eq!([send(), send()], [Ok(200), Ok(200)]);
        assert_eq!(kv::add("asked", 0, None), Ok(2));
    }

    #[test]
    fn what_is_measured_can_be_read() {
        metrics::count("hits", 2, &[("kind", "x")]).expect("legal");
        metrics::count("hits", 1, &[("kind", "x")]).expect("legal");
        assert!((measured("hits", &[("kind", "x")]) - 3.0).abs() < f64::EPSILON);
        assert_eq!(
            metrics::observe("Bad", 1.0, &[]),
            Err(CapabilityError::Invalid)
        );
    }
}
