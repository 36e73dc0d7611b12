//! How many share a limit: one of them may take nearly all, but not what is reserved for those that hold little.

/// The fraction that is reserved for those that hold little, and up to which a holder holds little.
const SHARE: usize = 8;

/// The part of a capacity that everybody may take; the rest is for those that hold little.
#[must_use]
pub const fn ordinary(capacity: usize) -> usize {
    capacity - capacity / (SHARE + 1)
}

/// Whether `more` fits when `all` and `own` are already held and everybody may take up to `limit`. An eighth of it comes on top,
/// for those that hold no more than an eighth of it.
#[must_use]
pub fn fits(all: usize, own: usize, more: usize, limit: usize) -> bool {
    let share = limit / SHARE;
    let (all, own) = (all.saturating_add(more), own.saturating_add(more));
    all <= limit || (own <= share && all <= limit.saturating_add(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_take_and_the_share_fit_into_the_capacity() {
        for capacity in [0, 1, 9, 10, 100, 128, 256, 19_000] {
            let limit = ordinary(capacity);
            assert!(!fits(limit, limit, 1, limit), "one holds all of {capacity}");
            assert!(!fits(capacity, 0, 1, limit), "{capacity} are held");
        }
        assert!(fits(89, 0, 1, ordinary(100)) && fits(99, 10, 1, ordinary(100)));
        assert!(!fits(99, 11, 1, ordinary(100)));
    }
}
