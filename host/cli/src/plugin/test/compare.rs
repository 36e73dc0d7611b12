//! Compares what came out of a case with what is expected, and shows or writes the difference.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use similar::TextDiff;

use super::{Arrivals, Observed, Split};
use crate::plugin::case::{CLIENT, Case, Expected, FAULT, UPSTREAM};
use crate::plugin::message::Message;

/// What a case has shown.
#[derive(Debug)]
pub(super) struct Verdict {
    folder: PathBuf,
    problems: Vec<String>,
    is_stable: bool,
    /// In how many ways the response arrived.
    arrivals: usize,
    is_updated: bool,
    /// Whether the case has a response.
    is_answered: bool,
}

/// Compares.
pub(super) fn compare(case: &Case, observed: &Observed, arrivals: &Arrivals) -> Verdict {
    let Expected {
        upstream,
        client,
        fault,
    } = &case.expected;
    let text = |text: &String| format!("{text}\n");
    let mut problems: Vec<String> = [
        messages(UPSTREAM, upstream.as_ref(), observed.upstream.as_ref()),
        messages(CLIENT, client.as_ref(), observed.client.as_ref()),
        difference(
            FAULT,
            fault.as_ref().map(text),
            observed.fault.as_ref().map(text),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    if observed.fault != *fault && !observed.causes.is_empty() {
        problems.push(format!("the cause was\n{}\n", observed.causes.join("\n")));
    }
    if let Some(split) = &arrivals.differing {
        problems.push(instability(observed, split));
    }
    Verdict {
        folder: case.folder.clone(),
        problems,
        is_stable: arrivals.differing.is_none(),
        arrivals: arrivals.number,
        is_updated: false,
        is_answered: case.script.response.is_some(),
    }
}

fn messages(file: &str, expected: Option<&Message>, found: Option<&Message>) -> Option<String> {
    if let (Some(expected), Some(found)) = (expected, found)
        && expected.says_the_same(found)
    {
        return None;
    }
    difference(
        file,
        expected.map(Message::to_text),
        found.map(Message::to_text),
    )
}

/// How a file differs from what came out.
fn difference(file: &str, expected: Option<String>, found: Option<String>) -> Option<String> {
    match (expected, found) {
        (None, None) => None,
        (Some(expected), Some(found)) if expected == found => None,
        (Some(expected), Some(found)) => {
            Some(format!("{file} differs:\n{}", diff(&expected, &found)))
        }
        (Some(expected), None) => Some(format!(
            "{file} is there, but nothing came out:\n{}",
            diff(&expected, "")
        )),
        (None, Some(found)) => Some(format!(
            "{file} is missing; with --update it would be written:\n{}",
            diff("", &found)
        )),
    }
}

fn instability(whole: &Observed, split: &Split) -> String {
    let other = &split.observed;
    let text =
        |message: &Option<Message>| message.as_ref().map(Message::to_text).unwrap_or_default();
    let fault = |observed: &Observed| observed.fault.clone().unwrap_or_default();
    let (one, two) = if whole.client == other.client {
        (fault(whole), fault(other))
    } else {
        (text(&whole.client), text(&other.client))
    };
    format!(
        "what comes out depends on how the response arrives: whole (-), or {} (+):\n{}",
        split.place,
        diff(&one, &two)
    )
}

/// Lines that are only in one of them, with some around them, and where the first difference is: lines may be long.
fn diff(expected: &str, found: &str) -> String {
    let lines = TextDiff::from_lines(expected, found);
    let mut text = lines
        .unified_diff()
        .context_radius(2)
        .missing_newline_hint(false)
        .to_string();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let pairs = expected.lines().zip(found.lines());
    if let Some((number, (one, other))) = pairs.enumerate().find(|(_, (one, other))| one != other) {
        let same = one
            .chars()
            .zip(other.chars())
            .take_while(|(one, other)| one == other);
        let column = same.count();
        if column >= LONG {
            let shown = |line: &str| -> String {
                line.chars().skip(column - LONG / 2).take(LONG).collect()
            };
            let (one, other) = (shown(one), shown(other));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "(line {}, column {}: `…{one}…` became `…{other}…`)",
                number + 1,
                column + 1
            );
        }
    }
    text
}

/// From this column on the place of a difference is shown by itself. Arbitrary: half a terminal's width.
const LONG: usize = 40;

impl Verdict {
    /// Whether the same came out of every cut.
    pub(super) fn is_stable(&self) -> bool {
        self.is_stable
    }

    /// The expectations are now what came out.
    pub(super) fn updated(&mut self) {
        self.is_updated = !self.problems.is_empty();
        self.problems.clear();
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.problems.is_empty()
    }

    fn word(&self) -> &'static str {
        match (self.has_failed(), self.is_updated) {
            (true, _) => "failed",
            (false, true) => "updated",
            (false, false) => "passed",
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "case": self.folder.to_string_lossy(),
            "result": self.word(),
            "answered": self.is_answered,
            "arrivals": self.arrivals,
            "problems": self.problems,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}", self.folder.display(), self.word());
        if self.is_answered {
            let _ = writeln!(text, " (the response arrived in {} ways)", self.arrivals);
        } else {
            text.push_str(" (no response.http: the request alone)\n");
        }
        for problem in &self.problems {
            for line in problem.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

/// Writes what came out as what is expected, and removes the files of what did not.
///
/// # Errors
/// Those of the file system, and one for a link: what it points to may belong to somebody else. Then nothing is written.
pub(super) fn update(case: &Case, observed: &Observed) -> std::io::Result<()> {
    refuse_links(&case.folder)?;
    let Expected {
        upstream,
        client,
        fault,
    } = &case.expected;
    let same = |one: &Option<Message>, other: &Option<Message>| match (one, other) {
        (Some(one), Some(other)) => one.says_the_same(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let bytes = |message: &Option<Message>| message.as_ref().map(Message::to_bytes);
    // What says the same is left as the author wrote it.
    if !same(upstream, &observed.upstream) {
        write(case, UPSTREAM, bytes(&observed.upstream))?;
    }
    if !same(client, &observed.client) {
        write(case, CLIENT, bytes(&observed.client))?;
    }
    if *fault != observed.fault {
        let text = observed
            .fault
            .as_ref()
            .map(|text| format!("{text}\n").into_bytes());
        write(case, FAULT, text)?;
    }
    Ok(())
}

fn refuse_links(folder: &Path) -> std::io::Result<()> {
    let files = [UPSTREAM, CLIENT, FAULT].map(|name| folder.join(name));
    let all = [folder]
        .into_iter()
        .chain(files.iter().map(PathBuf::as_path));
    for path in all {
        if path.is_symlink() {
            let words = format!(
                "{} is a link, and --update writes through none: put what it points to in its place",
                path.display()
            );
            return Err(std::io::Error::other(words));
        }
    }
    Ok(())
}

fn write(case: &Case, name: &str, bytes: Option<Vec<u8>>) -> std::io::Result<()> {
    let path = case.folder.join(name);
    match bytes {
        Some(bytes) => std::fs::write(path, bytes),
        None => match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_its_lines_and_where_a_long_one_differs() {
        assert_eq!(difference("f", None, None), None);
        assert_eq!(
            difference("f", Some("a\n".into()), Some("a\n".into())),
            None
        );
        let short = diff("a\nb\nc\n", "a\nx\nc\n");
        assert!(
            short.contains("-b\n+x\n") && !short.contains("column"),
            "{short}"
        );
        let (one, other) = (
            format!("{}b\n", "a".repeat(100)),
            format!("{}c\n", "a".repeat(100)),
        );
        assert!(
            diff(&one, &other).contains("(line 1, column 101: "),
            "{}",
            diff(&one, &other)
        );
    }

    #[test]
    fn what_is_missing_on_either_side_is_said() {
        let missing = difference("f", None, Some("a\n".into())).expect("a difference");
        assert!(
            missing.contains("f is missing") && missing.contains("+a"),
            "{missing}"
        );
        let gone = difference("f", Some("a\n".into()), None).expect("a difference");
        assert!(
            gone.contains("nothing came out") && gone.contains("-a"),
            "{gone}"
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_case_with_a_link_in_it_is_not_updated() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let case = folder.path().join("case");
        std::fs::create_dir(&case).expect("room");
        assert!(refuse_links(&case).is_ok());
        let other = folder.path().join("other");
        symlink(&case, &other).expect("a link");
        let error = refuse_links(&other).expect_err("a link").to_string();
        assert!(error.contains("other is a link"), "{error}");
        // Also to something that is not there: writing would make it.
        for name in [UPSTREAM, CLIENT, FAULT] {
            symlink(folder.path().join("nothing"), case.join(name)).expect("a link");
            let error = refuse_links(&case).expect_err("a link").to_string();
            assert!(
                error.contains(name) && error.contains("--update"),
                "{error}"
            );
            std::fs::remove_file(case.join(name)).expect("it is there");
        }
    }
}
