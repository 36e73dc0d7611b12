//! Which target of an upstream is asked next: among those of a standing, the one that is the key's, or that has the least to do.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::balance::{self, Busy};
use super::target::{Standing, Target};
use super::{Upstream, visit};

/// What decides for one exchange among targets that are all fit.
#[derive(Debug)]
pub struct Choice {
    turn: usize,
    /// A random number.
    chance: u64,
    key: Option<u64>,
}

impl Choice {
    /// The hash of what exchanges have in common, for [`Upstream::begin_exchange`].
    #[must_use]
    pub fn key(of: &impl Hash) -> u64 {
        balance::hash(of)
    }

    /// Whether the target at this place is among the candidates, if it is given a share only.
    fn is_within(&self, share: f64, at: usize) -> bool {
        // Other bits for each place: otherwise all of them would be left out at the same time.
        let bits = (self.chance.rotate_left(8 * (at as u32 % 8)) >> 32) as u32;
        share >= 1.0 || f64::from(bits) < share * f64::from(u32::MAX)
    }

    fn among<'t>(&self, targets: &[&'t Arc<Target>]) -> Option<&'t Arc<Target>> {
        let attempts = |target: &Target| target.in_flight() + target.waiting();
        let own = self.key.and_then(|key| {
            let names = targets.iter().map(|it| (&*it.label, attempts(it)));
            balance::by_key(names, key)
        });
        let now = Instant::now();
        let at = match (own, targets) {
            (_, []) => return None,
            (_, [_]) => 0,
            (Some(own), _) => own,
            (None, _) => {
                let busy = targets.iter().map(|target| Busy {
                    attempts: attempts(target),
                    first_byte: target.load.first_byte(now),
                });
                balance::by_load(&busy.collect::<Vec<_>>(), self.turn, self.chance)
            }
        };
        targets.get(at).copied()
    }
}

impl Upstream {
    /// An exchange begins to ask. `key` says which others should go to the same target, if any.
    #[must_use]
    pub fn begin_exchange(&self, key: Option<u64>) -> Choice {
        Choice {
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            chance: visit::chance(),
            key,
        }
    }

    /// The target to ask next, among those with this standing that are not among the `tried` ones.
    #[must_use]
    pub fn pick(
        &self,
        standing: Standing,
        choice: &Choice,
        tried: &[Arc<Target>],
    ) -> Option<Arc<Target>> {
        let limit = self.in_flight.as_ref();
        let is_new = |target: &Arc<Target>| !tried.iter().any(|it| Arc::ptr_eq(it, target));
        let targets = self.targets();
        let candidates: Vec<_> = targets
            .iter()
            .filter(|target| is_new(target) && target.standing(limit) == standing)
            .collect();
        let now = Instant::now();
        let slow_start = self.slow_start.unwrap_or_default();
        let has_its_share = |(at, target): &(usize, &Arc<Target>)| {
            choice.is_within(target.load.share(now, slow_start), *at)
        };
        let numbered = candidates.iter().copied().enumerate();
        let in_use = numbered.filter(has_its_share).map(|(_, target)| target);
        let in_use = in_use.collect();
        let candidates = first_of(in_use, candidates);
        let has_room = |target: &&Arc<Target>| target.places.has_room(limit);
        let with_room = candidates.iter().copied().filter(has_room).collect();
        let candidates = first_of(with_room, candidates);
        choice.among(&candidates).cloned()
    }
}

/// The better ones, or all if none is better.
fn first_of<T>(better: Vec<T>, all: Vec<T>) -> Vec<T> {
    if better.is_empty() { all } else { better }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::Vendor;
    use sluicegate_config as config;
    use sluicegate_telemetry::metrics::Metrics;

    /// Three targets; `lines` is the rest of the section.
    fn upstream(lines: &str) -> Upstream {
        let text = format!(
            r#"
[[listener]]
listen = "127.0.0.1:0"
[upstream.main]
adapter = "openai"
targets = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]
breaker = {{ failures = 1 }}
{lines}
[[route]]
path = "/*"
pipeline = []
upstream = "main"
"#
        );
        let config = config::parse(&text, Path::new("."), &|_| None).expect("legal");
        let main = &config.upstreams["main"];
        Upstream::new(main, Vendor::Other, None, &Metrics::new()).expect("legal")
    }

    /// How often each target is picked in a thousand exchanges, if none is asked in fact.
    fn shares(upstream: &Upstream, key: Option<u64>) -> [usize; 3] {
        let mut shares = [0; 3];
        for _ in 0..1_000 {
            let choice = upstream.begin_exchange(key);
            let picked = upstream.pick(Standing::Fit, &choice, &[]).expect("one");
            let is_it = |target| Arc::ptr_eq(target, &picked);
            shares[upstream
                .targets()
                .iter()
                .position(is_it)
                .expect("one of them")] += 1;
        }
        shares
    }

    #[tokio::test(start_paused = true)]
    async fn idle_targets_take_turns_and_one_that_is_back_gets_less_for_a_while() {
        let upstream = upstream("");
        assert_eq!(shares(&upstream, None), [334, 333, 333]);
        let mut visit = upstream.visit(&upstream.targets()[0]).expect("a place");
        visit.failed();
        drop(visit);
        assert_eq!(
            shares(&upstream, None),
            [0, 500, 500],
            "its breaker is open"
        );
        tokio::time::advance(Duration::from_secs(2)).await;
        let mut visit = upstream.visit(&upstream.targets()[0]).expect("a place");
        visit.responded();
        drop(visit);
        let [slow, _, _] = shares(&upstream, None);
        assert!((1..100).contains(&slow), "a tenth of its share: {slow}");
        tokio::time::advance(Duration::from_secs(10)).await;
        let [whole, _, _] = shares(&upstream, None);
        assert!((300..=400).contains(&whole), "{whole}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_has_one_target_and_another_one_while_that_is_left_alone() {
        let upstream = upstream("");
        let own = shares(&upstream, Some(7));
        assert!(own.contains(&1_000), "{own:?}");
        let at = own
            .iter()
            .position(|share| *share > 0)
            .expect("one of them");
        let mut visit = upstream.visit(&upstream.targets()[at]).expect("a place");
        visit.refused(Some(5));
        drop(visit);
        let other = shares(&upstream, Some(7));
        assert!(other.contains(&1_000) && other[at] == 0, "{other:?}");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(shares(&upstream, Some(7)), own);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_without_a_free_place_is_not_asked_while_another_one_has_one() {
        let upstream = upstream("max-in-flight = 1\nqueue = { size = 0 }");
        let limit = upstream.in_flight.expect("configured");
        let _busy = upstream.visit(&upstream.targets()[0]).expect("a place");
        assert_eq!(shares(&upstream, None)[0], 0);
        assert_eq!(
            upstream.targets()[0].standing(Some(&limit)),
            Standing::LeftAlone
        );
        let roomy = config::InFlight { queue: 1, ..limit };
        assert_eq!(
            upstream.targets()[0].standing(Some(&roomy)),
            Standing::Fit,
            "it can wait"
        );
    }
}
