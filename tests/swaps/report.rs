//! What is printed, and whether it is what is promised.

use std::process::ExitCode;
use std::time::Duration;

/// Collects the criteria that are not met.
#[derive(Debug, Default)]
pub(crate) struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Begins a part.
    pub(crate) fn part(&self, title: &str) {
        println!("\n## {title}");
    }

    /// A figure.
    pub(crate) fn figure(&self, name: &str, value: impl std::fmt::Display) {
        println!("- {name}: {value}");
    }

    /// A figure with its criterion.
    pub(crate) fn criterion(&mut self, met: bool, name: &str, value: impl std::fmt::Display) {
        let line = format!("{name}: {value}");
        println!("- {line} [{}]", if met { "met" } else { "NOT MET" });
        if !met {
            self.missed.push(line);
        }
    }

    /// Says how it ended.
    pub(crate) fn conclude(self) -> ExitCode {
        if self.missed.is_empty() {
            println!("\nAll criteria are met.");
            return ExitCode::SUCCESS;
        }
        println!();
        for line in &self.missed {
            println!("NOT MET: {line}");
        }
        ExitCode::FAILURE
    }
}

/// The 50th and the 99th percentile, and the highest value.
pub(crate) fn percentiles(times: &mut [Duration]) -> [Duration; 3] {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default()
    };
    [at(50), at(99), at(100)]
}

/// Milliseconds with two digits.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
