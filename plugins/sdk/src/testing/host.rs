//! Replacements for what every plugin gets from the gateway: log, clock and random. One set per thread, so that tests do not
//! affect each other.

use std::cell::{Cell, RefCell};

use crate::log::Line;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    // An arbitrary moment in 2026.
    static UNIX_MS: Cell<u64> = const { Cell::new(1_767_225_600_000) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// The log lines that were written on this thread since the last call.
pub fn take_logs() -> Vec<Line> {
    LINES.take()
}

/// Sets the clock of this thread, in milliseconds since 1970-01-01 UTC; the monotonic clock moves with it.
pub fn set_clock(unix_ms: u64) {
    UNIX_MS.set(unix_ms);
}

pub(crate) fn record(line: Line) {
    LINES.with_borrow_mut(|lines| lines.push(line));
}

pub(crate) fn unix_ms() -> u64 {
    UNIX_MS.get()
}

pub(crate) fn monotonic_us() -> u64 {
    UNIX_MS.get() * 1000
}

/// A fixed sequence (SplitMix64), so that a test sees the same identifiers in every run.
pub(crate) fn random_bytes(count: u32) -> Vec<u8> {
    let draw = |_| {
        let state = DRAWN.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        DRAWN.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()[0]
    };
    (0..count.min(4096)).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, log};

    #[test]
    fn log_lines_are_kept_for_the_test_to_read() {
        log::info("a").field("n", &3).json("j", "[1]").write();
        let lines = take_logs();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].message, "a");
        assert_eq!(lines[0].fields(), r#"{"n":3,"j":[1]}"#);
        assert_eq!(log::info("b").fields(), "{}");
        assert!(take_logs().is_empty());
    }

    #[test]
    fn clock_stands_still_until_it_is_set() {
        assert_eq!(clock::unix_ms(), clock::unix_ms());
        set_clock(5);
        assert_eq!(clock::unix_ms(), 5);
        assert_eq!(clock::monotonic_us(), 5000);
    }
}
