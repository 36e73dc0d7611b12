//! Plugin versions that were replaced, as long as exchanges hold them, and when these exchanges must have ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use sluicegate_plugin_host::Plugin;

/// Old versions of one plugin that may be in use at a time. Each costs its compiled code and its image, and whoever replaces a
/// plugin every few minutes under streams of an hour should notice. Arbitrary.
const MOST: usize = 8;

/// How long exchanges may go on with the oldest of more versions, if the configuration says nothing about it. Arbitrary.
const CROWDED_DRAIN: Duration = Duration::from_secs(30);

/// Characters of a version's hash in the log, as in `sluicegate plugin list`.
const SHOWN: usize = 12;

/// A version, for the log.
pub(super) trait Version {
    /// What tells it from others of the plugin.
    fn id(&self) -> &str;
}

impl Version for Plugin {
    fn id(&self) -> &str {
        self.version()
    }
}

/// Old versions of all plugins.
#[derive(Debug)]
pub(super) struct Retired<V> {
    /// By the plugin's name, oldest first.
    versions: BTreeMap<String, Vec<Old<V>>>,
    /// The configured time for exchanges that hold one.
    drain: Option<Duration>,
}

/// A version that was replaced or removed.
#[derive(Debug)]
struct Old<V> {
    version: Weak<V>,
    /// When exchanges that hold it must have ended.
    ends_at: Option<Instant>,
    /// Whether it is one too many, which was logged.
    crowded: bool,
}

impl<V> Default for Retired<V> {
    fn default() -> Self {
        Self {
            versions: BTreeMap::new(),
            drain: None,
        }
    }
}

impl<V: Version> Retired<V> {
    /// Some plugins were replaced or removed. Exchanges that hold one may go on for `drain`.
    pub(super) fn replace(
        &mut self,
        before: &BTreeMap<String, Arc<V>>,
        after: &BTreeMap<String, Arc<V>>,
        drain: Option<Duration>,
        now: Instant,
    ) {
        self.drain = drain;
        let is_in_force = |name: &str, version: *const V| {
            let current = after.get(name);
            current.is_some_and(|current| Arc::as_ptr(current) == version)
        };
        // An old version may come back.
        for (name, versions) in &mut self.versions {
            versions.retain(|old| !is_in_force(name, old.version.as_ptr()));
        }
        for (name, version) in before {
            if is_in_force(name, Arc::as_ptr(version)) {
                continue;
            }
            self.versions.entry(name.clone()).or_default().push(Old {
                version: Arc::downgrade(version),
                ends_at: drain.map(|drain| now + drain),
                crowded: false,
            });
        }
    }

    /// The versions that exchanges may not hold any longer. Those that nobody holds are forgotten.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Weak<V>> {
        let mut overdue = Vec::new();
        let crowded = now + self.drain.unwrap_or(CROWDED_DRAIN);
        self.versions.retain(|name, versions| {
            versions.retain(|old| old.version.strong_count() > 0);
            limit(name, versions, crowded);
            let is_late = |old: &&Old<V>| old.ends_at.is_some_and(|ends_at| now >= ends_at);
            let late = versions.iter().filter(is_late);
            overdue.extend(late.map(|old| old.version.clone()));
            !versions.is_empty()
        });
        overdue
    }
}

/// Gives the oldest versions a deadline if there are too many.
fn limit<V: Version>(name: &str, versions: &mut [Old<V>], ends_at: Instant) {
    let surplus = versions.len().saturating_sub(MOST);
    if versions[..surplus].iter().any(|old| !old.crowded) {
        let hash = |old: &Old<V>| {
            let version = old.version.upgrade()?;
            Some(version.id().chars().take(SHOWN).collect::<String>())
        };
        let hashes: Vec<String> = versions.iter().filter_map(hash).collect();
        tracing::warn!(
            plugin = name,
            versions = hashes.join(" "),
            "more than {MOST} old versions of a plugin are in use: exchanges with the oldest will be ended"
        );
    }
    for old in &mut versions[..surplus] {
        old.crowded = true;
        old.ends_at = Some(old.ends_at.map_or(ends_at, |before| before.min(ends_at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    impl Version for usize {
        fn id(&self) -> &str {
            "hash"
        }
    }

    /// What is in force: some plugins, each with the number of its version.
    fn force(versions: &[(&str, &Arc<usize>)]) -> BTreeMap<String, Arc<usize>> {
        let versions = versions.iter();
        versions
            .map(|(name, version)| ((*name).to_owned(), Arc::clone(version)))
            .collect()
    }

    /// The numbers of the versions that are overdue.
    fn overdue(retired: &mut Retired<usize>, now: Instant) -> Vec<usize> {
        let overdue = retired.overdue(now);
        overdue
            .iter()
            .map(|version| *version.upgrade().expect("it is held"))
            .collect()
    }

    #[test]
    fn only_what_was_replaced_or_removed_has_a_deadline() {
        let [one, two, other, gone] = [1, 2, 3, 4].map(Arc::new);
        let (mut retired, began) = (Retired::default(), Instant::now());
        let before = force(&[("a", &one), ("b", &other), ("c", &gone)]);
        let after = force(&[("a", &two), ("b", &other)]);
        retired.replace(&before, &after, Some(10 * SECOND), began);
        assert!(overdue(&mut retired, began + 9 * SECOND).is_empty());
        assert_eq!(overdue(&mut retired, began + 10 * SECOND), [1, 4]);
        // The next replacement does not put it off.
        let last = force(&[("b", &other)]);
        let later = began + 5 * SECOND;
        retired.replace(&after, &last, Some(10 * SECOND), later);
        assert_eq!(overdue(&mut retired, began + 10 * SECOND), [1, 4]);
        assert_eq!(overdue(&mut retired, began + 15 * SECOND), [1, 2, 4]);
    }

    #[test]
    fn a_version_that_nobody_holds_or_that_comes_back_is_forgotten() {
        let [one, two] = [1, 2].map(Arc::new);
        let (mut retired, began) = (Retired::default(), Instant::now());
        let (first, second) = (force(&[("a", &one)]), force(&[("a", &two)]));
        retired.replace(&first, &second, Some(SECOND), began);
        retired.replace(&second, &first, Some(SECOND), began);
        assert_eq!(overdue(&mut retired, began + SECOND), [2]);
        drop((second, two));
        assert!(overdue(&mut retired, began + SECOND).is_empty());
        assert!(retired.versions.is_empty());
    }

    #[test]
    fn the_oldest_of_more_than_eight_gets_a_deadline() {
        let versions: Vec<Arc<usize>> = (0..=10).map(Arc::new).collect();
        let (mut retired, began) = (Retired::default(), Instant::now());
        let mut swap = |number: usize, drain| {
            let (before, after) = (&versions[number], &versions[number + 1]);
            let (before, after) = (force(&[("a", before)]), force(&[("a", after)]));
            retired.replace(&before, &after, drain, began);
            overdue(&mut retired, began);
            let late = overdue(&mut retired, began + CROWDED_DRAIN - SECOND);
            (late, overdue(&mut retired, began + CROWDED_DRAIN))
        };
        for number in 0..8 {
            assert_eq!(swap(number, None), (vec![], vec![]), "{number}");
        }
        assert_eq!(swap(8, None), (vec![], vec![0]));
        // A shorter time that is configured later holds for these too.
        let short = Some(SECOND);
        assert_eq!(swap(9, short), (vec![0, 1, 9], vec![0, 1, 9]));
    }
}
