//! The figures, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::plugin::words::size;
use sluicegate_plugin_host::Plugin;

/// Which figures can be compared.
const COMPARABLE: &str = "Memory and sizes are comparable between runs and machines of one architecture. Times are comparable only between runs of the same program on the same machine with nothing else to do; of two plugins, compare the ratio.";

/// How the names of the times begin, in the order of an exchange.
const ORDER: [&str; 10] = [
    "an instance",
    "gate",
    "request.head",
    "request.body",
    "response.head",
    "response.body",
    "chunks",
    "events.batch",
    "events.end",
    "closing",
];

/// What was measured.
#[derive(Debug)]
pub(super) struct Figures {
    /// In the order in which they appeared, each with nanoseconds per unit.
    times: Vec<(String, Vec<u64>)>,
    notes: BTreeSet<String>,
    /// Bytes of private memory of a live instance, if that was measured.
    pub(super) memory: Option<u64>,
    component_bytes: usize,
    code_bytes: usize,
    is_imaged: bool,
}

impl Figures {
    pub(super) fn new(plugin: &Plugin, component_bytes: usize) -> Self {
        let mut notes = BTreeSet::new();
        if cfg!(debug_assertions) {
            notes.insert("this is a debug build of the gateway: its times are far too high".into());
        }
        Self {
            times: Vec::new(),
            notes,
            memory: None,
            component_bytes,
            code_bytes: plugin.code_bytes(),
            is_imaged: plugin.is_imaged(),
        }
    }

    /// Adds what so many units took together.
    pub(super) fn add(&mut self, name: String, spent: Duration, units: usize) {
        let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX) / units.max(1) as u64;
        match self.times.iter_mut().find(|(have, _)| *have == name) {
            Some((_, times)) => times.push(nanos),
            None => self.times.push((name, vec![nanos])),
        }
    }

    /// Adds a sentence.
    pub(super) fn note(&mut self, note: String) {
        self.notes.insert(note);
    }

    fn rows(&self) -> impl Iterator<Item = (&str, f64, f64, usize)> {
        let place = |name: &str| ORDER.iter().position(|phase| name.starts_with(phase));
        let mut sorted: Vec<_> = self.times.iter().collect();
        sorted.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
        sorted.into_iter().map(|(name, times)| {
            let mut times = times.clone();
            times.sort_unstable();
            (
                name.as_str(),
                micros(&times, 50),
                micros(&times, 99),
                times.len(),
            )
        })
    }

    /// For programs.
    pub(super) fn json(&self, file: &Path) -> Value {
        let row = |(name, p50, p99, samples): (&str, f64, f64, usize)| json!({"name": name, "p50-us": p50, "p99-us": p99, "samples": samples});
        json!({
            "file": file.to_string_lossy(),
            "times": self.rows().map(row).collect::<Vec<_>>(),
            "memory-bytes-per-instance": self.memory,
            "component-bytes": self.component_bytes,
            "code-bytes": self.code_bytes,
            "image": if self.is_imaged { "captured" } else { "none" },
            "notes": self.notes,
            "comparable": COMPARABLE,
        })
    }

    /// For people.
    pub(super) fn text(&self, file: &Path) -> String {
        let width = self
            .times
            .iter()
            .map(|(name, _)| name.chars().count())
            .max();
        let width = width.unwrap_or(0).max(30);
        let mut text = format!(
            "{}\n{:<width$} {:>9} {:>9}\n",
            file.display(),
            "",
            "p50",
            "p99"
        );
        // Writing to a string cannot fail.
        for (name, p50, p99, _) in self.rows() {
            let _ = writeln!(text, "{name:<width$} {p50:>9.2} {p99:>9.2} µs");
        }
        let memory = self.memory.map_or_else(|| "not measured".into(), size);
        let image = if self.is_imaged {
            ""
        } else {
            "; no memory image: each instance is configured anew"
        };
        let rows = [
            ("memory of a live instance", memory),
            (
                "compiled code",
                format!("{}{image}", size(self.code_bytes as u64)),
            ),
            ("component", size(self.component_bytes as u64)),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<width$} {value:>9}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        let _ = writeln!(text, "{COMPARABLE}");
        text
    }
}

/// A percentile of sorted nanoseconds, in microseconds.
fn micros(sorted: &[u64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let nanos = sorted.get(at).copied().unwrap_or(0);
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples() {
        let times: Vec<u64> = (1..=100).map(|number| number * 1_000).collect();
        assert!((micros(&times, 50) - 50.0).abs() < 1e-9);
        assert!((micros(&times, 99) - 99.0).abs() < 1e-9);
        assert!((micros(&times[..1], 99) - 1.0).abs() < 1e-9);
        assert!(micros(&[], 50).abs() < 1e-9);
    }
}
