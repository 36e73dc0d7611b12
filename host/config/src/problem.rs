//! Problems of a configuration: what is wrong, where, and how to fix it.

use std::fmt;

/// Something that is wrong, or, as a warning, looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, such as `upstream.ollama.timeout.idle` or `route[1].pipeline[0]`; the name of the variable for a
    /// value from the environment; the file's name or "" for a file that cannot be read or parsed.
    pub key: String,
    /// The line in the file, counted from 1; `None` if it is not in the file.
    pub line: Option<usize>,
    /// What is wrong, as the rest of a sentence that begins with the key: "is empty".
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Problem {
    /// Two lines, without a line end after the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n    → {}", self.message, self.mend)
    }
}

/// A place in a configuration, for problems that are found later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// As [`Problem::key`].
    pub key: String,
    /// As [`Problem::line`].
    pub line: Option<usize>,
}

impl Position {
    /// A problem at this place.
    #[must_use]
    pub fn problem(&self, message: String, mend: String) -> Problem {
        Problem {
            key: self.key.clone(),
            line: self.line,
            message,
            mend,
        }
    }
}

/// All problems of a configuration, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Sorts problems by line; those without a line come last.
pub(super) fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| (problem.line.is_none(), problem.line));
}

/// The candidate that `word` is most likely a misspelling of, if any is close enough.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // One error per three letters: "rout" is near "route", "tls" is not near "url".
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, deleted, changed or swapped with their neighbour, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(&a.to_lowercase(), &b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{Problem, Problems, distance, nearest, sort};

    fn problem(key: &str, line: Option<usize>) -> Problem {
        Problem {
            key: key.to_owned(),
            line,
            message: "is odd".to_owned(),
            mend: "even it".to_owned(),
        }
    }

    #[test]
    fn problem_reads_as_one_block() {
        assert_eq!(
            problem("a.b", Some(3)).to_string(),
            "line 3: a.b: is odd\n    → even it"
        );
        assert_eq!(problem("", None).to_string(), "is odd\n    → even it");
        let two = Problems(vec![problem("a", None), problem("b", None)]);
        assert_eq!(
            two.to_string(),
            "a: is odd\n    → even it\nb: is odd\n    → even it"
        );
    }

    #[test]
    fn problems_are_in_the_order_of_the_file() {
        let mut all = [
            problem("c", None),
            problem("b", Some(9)),
            problem("a", Some(2)),
        ];
        sort(&mut all);
        assert_eq!(all.map(|p| p.key), ["a", "b", "c"]);
    }

    #[test]
    fn slip_is_one_letter_more_less_other_or_swapped() {
        assert_eq!(distance("route", "route"), 0);
        assert_eq!(distance("routes", "route"), 1);
        assert_eq!(distance("rout", "Route"), 1);
        assert_eq!(distance("rouse", "route"), 1);
        assert_eq!(distance("ruote", "route"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn suggestion_is_the_nearest_and_none_if_all_are_far() {
        let known = ["listen", "listener", "log"];
        assert_eq!(nearest("listeners", known), Some("listener"));
        assert_eq!(nearest("lsiten", known), Some("listen"));
        assert_eq!(nearest("upstream", known), None);
        assert_eq!(nearest("tls", ["url", "sql"]), None);
    }
}
