//! Figures as people read them, and rows of a table.

use std::fmt::Write as _;
use std::time::Duration;

/// A number of bytes.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{} {name}", tenths(bytes * 10 / unit)),
    )
}

/// A time.
pub(super) fn time(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", tenths(micros / 100)),
        _ => format!("{} s", tenths(micros / 100_000)),
    }
}

/// A number of tenths, without an end that says nothing.
fn tenths(tenths: u64) -> String {
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    }
}

/// Labels and values, each value behind its label, and its further lines below it.
pub(super) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for (label, value) in rows {
        let mut label = *label;
        for line in value.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {label:<width$}  {line}");
            label = "";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_and_few_digits() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (16 << 20, "16 MiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
        assert_eq!(time(Duration::from_micros(999)), "999 µs");
        assert_eq!(time(Duration::from_micros(1_234)), "1.2 ms");
        assert_eq!(time(Duration::from_millis(20)), "20 ms");
        assert_eq!(time(Duration::from_millis(2_500)), "2.5 s");
    }

    #[test]
    fn further_lines_stand_below_the_first() {
        let rows = [("one", "a".to_owned()), ("three", "b\nc".to_owned())];
        assert_eq!(table(&rows), "  one    a\n  three  b\n         c\n");
    }
}
