//! What the scenarios have shown, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::trial::{Problem, Reached, Shown};
use crate::plugin::warning::Warning;
use crate::plugin::words::size;

/// Problems of a group that are told. Arbitrary: whoever mends these runs the command again.
const TOLD: usize = 5;

/// What a group of scenarios has shown, over all ordinary exchanges.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) name: &'static str,
    scenarios: usize,
    runs: usize,
    problems: Vec<Found>,
    limits: Vec<Found>,
}

/// A problem, the first scenario that shows it, and how many do.
#[derive(Debug)]
struct Found {
    scenario: String,
    scenarios: usize,
    problem: Problem,
}

impl Verdict {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            scenarios: 0,
            runs: 0,
            problems: Vec::new(),
            limits: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, scenario: &str, shown: Shown) {
        self.scenarios += 1;
        self.runs += shown.runs;
        let Shown { problem, limit, .. } = shown;
        for (found, problem) in [(&mut self.problems, problem), (&mut self.limits, limit)] {
            let Some(problem) = problem else { continue };
            let same = |it: &&mut Found| {
                it.problem.phase == problem.phase && it.problem.mend == problem.mend
            };
            match found.iter_mut().find(same) {
                Some(found) => found.scenarios += 1,
                None => found.push(Found {
                    scenario: scenario.to_owned(),
                    scenarios: 1,
                    problem,
                }),
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.problems.is_empty()
    }

    fn word(&self) -> &'static str {
        if self.has_failed() {
            "failed"
        } else {
            "passed"
        }
    }

    /// For people: one line, and more where something is to be told.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}: {} ({} scenarios, {} runs)\n",
            self.name,
            self.word(),
            self.scenarios,
            self.runs
        );
        // Writing to a string cannot fail.
        for found in self.problems.iter().take(TOLD) {
            let Problem { mend, .. } = &found.problem;
            let _ = writeln!(text, "    {}\n        → {mend}", found.text());
        }
        if let Some(more) = self.problems.len().checked_sub(TOLD + 1) {
            let _ = writeln!(text, "    and {} more problems", more + 1);
        }
        for found in &self.limits {
            let _ = writeln!(
                text,
                "    a limit: {}; such an exchange fails with `plugin_fault`",
                found.text()
            );
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "group": self.name,
            "result": self.word(),
            "scenarios": self.scenarios,
            "runs": self.runs,
            "problems": self.problems.iter().map(Found::json).collect::<Vec<_>>(),
            "limits": self.limits.iter().map(Found::json).collect::<Vec<_>>(),
        })
    }
}

impl Found {
    fn text(&self) -> String {
        let Problem { phase, what, .. } = &self.problem;
        let more = match self.scenarios {
            1 => String::new(),
            scenarios => format!(", and {} more", scenarios - 1),
        };
        format!("{}{more}: `{phase}`: {what}", self.scenario)
    }

    fn json(&self) -> Value {
        let Problem { phase, what, mend } = &self.problem;
        json!({
            "scenario": self.scenario,
            "scenarios": self.scenarios,
            "phase": phase,
            "what": what,
            "mend": mend,
        })
    }
}

/// All that is told in the end.
pub(super) struct Report<'a> {
    pub(super) file: &'a Path,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) reached: Reached,
    /// Bytes that an instance may have.
    pub(super) memory: u64,
    pub(super) warnings: Vec<Warning>,
}

impl Report<'_> {
    pub(super) fn failed(&self) -> usize {
        self.verdicts.iter().filter(|it| it.has_failed()).count()
    }

    /// For people, behind the lines of the groups.
    pub(super) fn text(&self) -> String {
        let phases = self.reached.phases.iter();
        let phases: Vec<String> = phases
            .map(|(phase, calls)| format!("{phase} {calls}"))
            .collect();
        let mut text = format!("calls: {}\n", phases.join(", "));
        // An observer's is not looked at.
        if self.reached.memory > 0 {
            let (most, limit) = (size(self.reached.memory as u64), size(self.memory));
            let _ = writeln!(text, "largest memory of an instance: {most} of {limit}");
        }
        let failed = self.failed();
        let passed = self.verdicts.len() - failed;
        let _ = writeln!(text, "{passed} groups passed, {failed} failed");
        text
    }

    pub(super) fn json(&self) -> Value {
        let failed = self.failed();
        json!({
            "file": self.file.to_string_lossy(),
            "passed": self.verdicts.len() - failed,
            "failed": failed,
            "groups": self.verdicts.iter().map(Verdict::json).collect::<Vec<_>>(),
            "calls": self.reached.phases,
            "memory-bytes": self.reached.memory,
            "memory-limit-bytes": self.memory,
            "warnings": self.warnings.iter().map(Warning::json).collect::<Vec<_>>(),
        })
    }
}
