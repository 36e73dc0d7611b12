//! `breaker` of an upstream: when a target that fails is left alone, and for how long.

use std::time::Duration;

use crate::reader::Table;

/// When a target that fails is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// How many attempts in a row must fail; default 5.
    pub failures: u32,
    /// Or which part of all attempts of the last ten seconds, in percent; default 50.
    pub rate: u32,
    /// The longest time that a target is left alone before it is tried again; default 10 s, `None`: no breaker.
    pub open: Option<Duration>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 5,
            rate: 50,
            open: Some(Duration::from_secs(10)),
        }
    }
}

pub(super) fn read(table: &Table<'_>) -> Breaker {
    let default = Breaker::default();
    let failures = table.count("failures");
    let failures = failures.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let rate = table.get("rate").and_then(|value| {
        let rate = value.percent()?;
        if rate == 0 {
            value.problem(
                "is 0%, so a target would be left alone without a failure",
                r#"write at least "1%"; to switch the breaker off, write open = "0s""#,
            );
        }
        Some(rate)
    });
    let breaker = Breaker {
        failures: failures.unwrap_or(default.failures),
        rate: rate.unwrap_or(default.rate),
        open: table.duration_or_off("open").unwrap_or(default.open),
    };
    table.finish();
    breaker
}
