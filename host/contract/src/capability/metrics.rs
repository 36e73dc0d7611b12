//! A plugin's own metrics: which names and labels are legal, and how many there may be.

use super::Error;

/// The longest name of a metric or a label in bytes, as in `wit/capabilities.wit`.
const NAME_MAX: usize = 64;

/// The longest value of a label in bytes, as there.
const VALUE_MAX: usize = 128;

/// The most labels of a metric, as there.
const LABELS_MAX: usize = 8;

/// The most names of a plugin, as there.
pub const NAMES: usize = 50;

/// The most series of a plugin, as there.
pub const SERIES: usize = 1_000;

/// The upper bounds of a histogram's buckets, as there.
pub const BUCKETS: [f64; 22] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];

/// What OpenMetrics adds to names itself: a metric of such a name could clash with another one's.
const ADDED: [&str; 6] = ["_total", "_created", "_count", "_sum", "_bucket", "_info"];

/// Checks a metric, and brings its labels into order.
///
/// # Errors
/// [`Error::Invalid`]
pub fn check(name: &str, labels: &mut [(String, String)]) -> Result<(), Error> {
    labels.sort();
    let twice = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let is_legal = |(label, value): &(String, String)| {
        is_name(label) && label != "le" && value.len() <= VALUE_MAX
    };
    let is_free = is_name(name) && !ADDED.iter().any(|added| name.ends_with(added));
    let legal = is_free && !twice && labels.len() <= LABELS_MAX && labels.iter().all(is_legal);
    if legal { Ok(()) } else { Err(Error::Invalid) }
}

/// Without `__` and a `_` at the end, a name is told from the plugin's that stands before it.
fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !name.contains("__")
        && !name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(given: &[(&str, &str)]) -> Vec<(String, String)> {
        let given = given.iter();
        given
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn labels_come_into_order() {
        let mut given = labels(&[("b", "1"), ("a", "2")]);
        assert_eq!(check("hits", &mut given), Ok(()));
        assert_eq!(given, labels(&[("a", "2"), ("b", "1")]));
    }

    #[test]
    fn what_the_format_adds_to_names_cannot_end_one() {
        for name in [
            "hits_total",
            "a_created",
            "h_count",
            "h_sum",
            "h_bucket",
            "b_info",
        ] {
            assert_eq!(check(name, &mut []), Err(Error::Invalid), "{name}");
            assert_eq!(check("hits", &mut labels(&[(name, "v")])), Ok(()), "{name}");
        }
        assert_eq!(check("total", &mut []), Ok(()));
    }

    #[test]
    fn names_and_labels_that_are_not_legal_are_refused() {
        let long = "n".repeat(NAME_MAX + 1);
        for name in ["", "Hits", "1st", "_a", "a_", "a__b", "a-b", "é", &long] {
            assert_eq!(check(name, &mut []), Err(Error::Invalid), "{name}");
            let mut given = labels(&[(name, "v")]);
            assert_eq!(check("hits", &mut given), Err(Error::Invalid), "{name}");
        }
        let long = "v".repeat(VALUE_MAX + 1);
        for wrong in [
            &[("le", "1")][..],
            &[("a", "1"), ("a", "2")],
            &[("a", &long)],
        ] {
            assert_eq!(check("hits", &mut labels(wrong)), Err(Error::Invalid));
        }
        let many: Vec<_> = (0..=LABELS_MAX)
            .map(|n| (format!("l{n}"), String::new()))
            .collect();
        assert_eq!(check("hits", &mut many.clone()), Err(Error::Invalid));
        assert_eq!(check("hits", &mut many[1..].to_vec()), Ok(()));
    }
}
