//! File descriptors: how many the system gives, and what that means for connections and exchanges.
//!
//! Each connection of a client takes one, and each exchange one more towards its model server. Where they run out, nothing can be
//! accepted, not even a probe of the admin interface. So connections and exchanges get what is left beside a reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use sluicegate_config::Limits;

/// Descriptors for everything else: the admin interface's connections, listeners, logs, databases, files that are read, health
/// checks and the chat page. Arbitrary.
const RESERVE: u64 = 512;

/// Raises the soft limit as far as the system lets a process do it by itself; gives the limit that is in force then.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is refused, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The most exchanges for which this many descriptors suffice: each needs one on either side.
#[must_use]
pub fn most_exchanges(descriptors: u64) -> usize {
    (left(descriptors) / 2).max(1)
}

/// The limits as far as this many descriptors go.
#[must_use]
pub fn fit(limits: &Limits, descriptors: u64) -> Limits {
    let exchanges = limits.exchanges.min(most_exchanges(descriptors));
    let beside = left(descriptors).saturating_sub(exchanges).max(1);
    Limits {
        connections: limits.connections.min(beside),
        exchanges,
        ..limits.clone()
    }
}

/// The limits as far as this many descriptors go; says so where they do not go far enough.
#[must_use]
pub fn fit_to(descriptors: u64, limits: &Limits) -> Limits {
    let fitted = fit(limits, descriptors);
    let (connections, exchanges) = (fitted.connections, fitted.exchanges);
    if exchanges < limits.exchanges {
        tracing::warn!(
            descriptors,
            connections,
            exchanges,
            "there are too few file descriptors for the configured limits: raise the system's (`ulimit -n`, `LimitNOFILE`)"
        );
    } else if connections < limits.connections {
        tracing::info!(
            descriptors,
            connections,
            "too few file descriptors for all configured idle connections"
        );
    }
    fitted
}

fn left(descriptors: u64) -> usize {
    usize::try_from(descriptors.saturating_sub(RESERVE)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_leaves_the_reserve_and_a_high_one_changes_nothing() {
        let limits = Limits {
            connections: 20_000,
            exchanges: 8_000,
            ..Limits::default()
        };
        let fitted = |descriptors| {
            let Limits {
                connections,
                exchanges,
                ..
            } = fit(&limits, descriptors);
            (connections, exchanges)
        };
        assert_eq!(fitted(1 << 20), (20_000, 8_000));
        assert_eq!(fitted(28_512), (20_000, 8_000));
        assert_eq!(fitted(20_512), (12_000, 8_000));
        assert_eq!(fitted(4_096), (1_792, 1_792));
        assert_eq!(fitted(1_024), (256, 256));
        assert_eq!(fitted(100), (1, 1));
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise();
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(limit, hard);
    }
}
