//! Which of several targets, all of them fit, is given the next attempt.
//!
//! # The rule
//! - Without a key: of two, the one whose turn it is and another one by chance, the first, unless the other one has clearly less
//!   to do. That is nearly as good as to look at all of them, and a target that looks idle for a moment is not given everything.
//! - With a key: the first in an order that is the key's own (rendezvous hashing), unless it has much more to do than the others;
//!   then the next in that order. A target that goes, or comes, changes nothing for the keys of the others.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The seconds to the first byte below which a difference means nothing: a longer prompt takes more.
const UNIMPORTANT: f64 = 0.1;

/// Attempts at a time that are no load, so that a key stays with its target. Arbitrary.
const FEW: usize = 4;

/// What one target has to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    /// Attempts that it has, and that wait for it.
    pub(super) attempts: usize,
    /// Seconds to the first byte.
    pub(super) first_byte: f64,
}

impl Busy {
    /// What one more attempt would cost.
    fn cost(self) -> f64 {
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        (f64::from(attempts) + 1.0) * (self.first_byte + UNIMPORTANT)
    }

    /// Whether it has clearly less to do.
    fn is_better_than(self, other: Self) -> bool {
        self.cost() < other.cost() * 0.8
    }
}

/// The index of the target to ask; `turn` counts up, `chance` is a random number. `targets` must not be empty.
pub(super) fn by_load(targets: &[Busy], turn: usize, chance: u64) -> usize {
    let count = targets.len();
    let first = turn % count;
    if count == 1 {
        return first;
    }
    let others = count as u64 - 1;
    let step = 1 + usize::try_from(chance % others).unwrap_or(0);
    let second = (first + step) % count;
    if targets[second].is_better_than(targets[first]) {
        second
    } else {
        first
    }
}

/// The index of the target of a key, or of the next one in its order that has not too much to do.
pub(super) fn by_key<'a>(
    targets: impl Iterator<Item = (&'a str, usize)> + Clone,
    key: u64,
) -> Option<usize> {
    let (count, total) = targets
        .clone()
        .fold((0_usize, 0_usize), |(count, total), (_, attempts)| {
            (count + 1, total + attempts)
        });
    // A quarter more than if all had the same, this attempt included.
    let most = ((total + 1) * 5).div_ceil(count.max(1) * 4).max(FEW);
    targets
        .enumerate()
        .filter(|(_, (_, attempts))| *attempts < most)
        .max_by_key(|(_, (name, _))| weight(name, key))
        .map(|(index, _)| index)
}

/// A number that depends on all of these, the same in every gateway of the same build.
fn weight(name: &str, key: u64) -> u64 {
    hash(&(name, key))
}

/// The hash of a key.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(attempts: usize, first_byte: f64) -> Busy {
        Busy {
            attempts,
            first_byte,
        }
    }

    #[test]
    fn targets_that_have_the_same_to_do_take_turns() {
        let targets = [busy(3, 0.02), busy(3, 0.01), busy(3, 0.0)];
        for turn in 0..9 {
            for chance in 0..5 {
                assert_eq!(by_load(&targets, turn, chance), turn % 3);
            }
        }
        assert_eq!(by_load(&targets[..1], 7, 3), 0);
    }

    #[test]
    fn the_one_with_more_to_do_gets_less() {
        for (worse, what) in [
            (busy(9, 0.1), "attempts"),
            (busy(3, 2.0), "seconds to the first byte"),
        ] {
            let targets = [worse, busy(3, 0.1), busy(3, 0.1), busy(3, 0.1)];
            let picked: Vec<_> = (0..12)
                .flat_map(|turn| (0..3).map(move |chance| (turn, chance)))
                .map(|(turn, chance)| by_load(&targets, turn, chance))
                .collect();
            assert!(!picked.contains(&0), "{what}");
            assert!((1..4).all(|index| picked.contains(&index)), "{what}");
        }
    }

    const NAMES: [&str; 4] = ["http://a:1", "http://b:1", "http://c:1", "http://d:1"];

    fn of(names: &[&'static str], key: u64) -> &'static str {
        let targets = names.iter().map(|name| (*name, 0));
        names[by_key(targets, key).expect("one is idle")]
    }

    #[test]
    fn a_key_has_its_target_and_keeps_it_when_others_go() {
        let mut counts = [0; 4];
        for key in 0..1_000 {
            let target = of(&NAMES, key);
            let at = NAMES.iter().position(|name| *name == target);
            counts[at.expect("one of them")] += 1;
            let left: Vec<_> = NAMES.into_iter().filter(|name| *name != NAMES[3]).collect();
            if target != NAMES[3] {
                assert_eq!(of(&left, key), target);
            }
        }
        assert!(
            counts.iter().all(|count| (200..300).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn one_key_does_not_overload_its_target() {
        let mut attempts = [0_usize; 4];
        let next = |attempts: &[usize; 4]| {
            by_key(NAMES.into_iter().zip(*attempts), 42).expect("one has less than the average")
        };
        let own = next(&attempts);
        for _ in 0..FEW {
            assert_eq!(next(&attempts), own);
            attempts[own] += 1;
        }
        assert_ne!(next(&attempts), own, "a few, and no more");
        for _ in 0..96 {
            attempts[next(&attempts)] += 1;
        }
        assert!(attempts.iter().all(|count| *count <= 32), "{attempts:?}");
        assert_eq!(attempts.iter().max(), Some(&attempts[own]));
    }
}
