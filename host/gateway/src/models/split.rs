//! Who serves a model: the upstream that is drawn for an exchange, and those that are asked after it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use sluicegate_config::{Model, ServedBy};

/// An upstream that can be asked for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The upstream.
    pub upstream: Arc<str>,
    /// What the model is called there, as JSON text; `None`: as the client calls it.
    pub name: Option<Arc<str>>,
}

impl Served {
    fn new(one: &ServedBy) -> Self {
        let json = |name: &String| serde_json::Value::from(name.as_str()).to_string();
        Self {
            upstream: one.upstream.as_str().into(),
            name: one.name.as_ref().map(|name| json(name).into()),
        }
    }
}

/// The upstreams of which one is drawn, each by its weight, and those that are asked after it.
#[derive(Debug)]
pub struct Split {
    /// All that can be drawn but the last, each with the sum of the weights up to its own.
    drawn: Vec<(u64, Arc<[Served]>)>,
    last: Arc<[Served]>,
    /// The sum of all weights.
    total: u64,
    all: Vec<Served>,
}

impl Split {
    /// That of a section.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let fallback = || model.fallback.iter().map(Served::new);
        let mut total = 0;
        let mut drawn = Vec::new();
        for share in model.shares.iter().filter(|share| share.weight > 0) {
            let first = Served::new(&share.served_by);
            total += u64::from(share.weight);
            let after = fallback().filter(|other| *other != first);
            let asked = std::iter::once(first.clone()).chain(after);
            drawn.push((total, asked.collect()));
        }
        let last = drawn.pop().map_or_else(|| [].into(), |(_, last)| last);
        let mut all: Vec<Served> = Vec::new();
        for one in model.served_by().map(Served::new) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        Self {
            drawn,
            last,
            total,
            all,
        }
    }

    /// Who is asked in one exchange, in this order. `chance` gives a random number, if one is needed.
    pub fn draw(&self, chance: impl FnOnce() -> u64) -> &Arc<[Served]> {
        if self.drawn.is_empty() {
            return &self.last;
        }
        // So few weights in so many numbers: the remainder prefers nobody by more than one in 10^13.
        let at = chance() % self.total;
        let mut drawn = self.drawn.iter();
        let found = drawn.find(|(sum, _)| at < *sum);
        found.map_or(&self.last, |(_, asked)| asked)
    }

    /// All who can be asked, each once.
    #[must_use]
    pub fn all(&self) -> &[Served] {
        &self.all
    }
}

/// A random number; the standard library seeds each state anew.
#[must_use]
pub fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::tests::{model, served};
    use sluicegate_config::Share;

    /// The upstreams in the order in which they are asked, for each number from 0 to below `total`.
    fn drawn(split: &Split, total: u64) -> Vec<String> {
        let names = |number| {
            let asked = split.draw(|| number).iter();
            let names: Vec<_> = asked.map(|served| &*served.upstream).collect();
            names.join(" ")
        };
        (0..total).map(names).collect()
    }

    fn split(weights: &[(&str, u32)], fallback: &[&str]) -> Split {
        let share = |(upstream, weight): &(&str, u32)| Share {
            served_by: served(upstream),
            weight: *weight,
        };
        Split::new(&Model {
            shares: weights.iter().map(share).collect(),
            fallback: fallback.iter().map(|upstream| served(upstream)).collect(),
            ..model("m", "", &[])
        })
    }

    #[test]
    fn each_is_drawn_for_as_many_numbers_as_its_weight() {
        let split = split(&[("a", 2), ("off", 0), ("b", 1), ("c", 3)], &[]);
        let expected = ["a", "a", "b", "c", "c", "c"];
        assert_eq!(drawn(&split, 6), expected);
        // Larger numbers begin again.
        assert_eq!(drawn(&split, 12), [expected, expected].concat());
        let all: Vec<_> = split.all().iter().map(|it| &*it.upstream).collect();
        assert_eq!(all, ["a", "b", "c"], "who is out of service is nowhere");
    }

    #[test]
    fn the_fallback_follows_whoever_is_drawn_and_nobody_is_asked_twice() {
        let split = split(&[("a", 1), ("b", 1)], &["b", "c"]);
        assert_eq!(drawn(&split, 2), ["a b c", "b c"]);
    }

    #[test]
    fn one_alone_needs_no_number() {
        let split = split(&[("off", 0), ("a", 7)], &[]);
        let asked = split.draw(|| unreachable!("nothing is drawn"));
        assert_eq!(&*asked[0].upstream, "a");
    }

    #[test]
    fn the_gateways_own_numbers_keep_the_weights() {
        let split = split(&[("a", 9), ("b", 1)], &[]);
        let rare = (0..10_000).filter(|_| &*split.draw(chance)[0].upstream == "b");
        // 1,000 are expected, with a standard deviation of 30: ten of those are never seen.
        let rare = rare.count();
        assert!((700..1300).contains(&rare), "{rare}");
    }
}
