//! One scenario: runs it in all its ways, and judges what came out by what the contract promises of any component.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::corpus::Scenario;
use crate::plugin::message::Message;
use crate::plugin::test::outcome::place;
use crate::plugin::test::services::CaseServices;
use sluicegate_gateway::exchange::scripted::{self, Cut, Outcome};
use sluicegate_plugin_host::Plugin;

/// What to do about a result that the contract does not allow.
const ALLOWED: &str =
    "return what the contract of `sluicegate wit` allows there; every function says it";
/// What to do about output that depends on the arrival.
const SAME: &str = "how a body is cut into chunks, and how events are divided into batches, has no meaning: keep what is incomplete until the next call";
/// What to do about output that differs between two runs.
const REPEATABLE: &str =
    "let nothing but the exchange, the clock and the random bytes decide what comes out";

/// What a component did that the contract does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The phase.
    pub(super) phase: &'static str,
    /// What happened.
    pub(super) what: String,
    /// What to do about it.
    pub(super) mend: String,
}

/// What a scenario has shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) problem: Option<Problem>,
    /// A limit that something very large has exceeded: the exchange failed, as it should.
    pub(super) limit: Option<Problem>,
    /// How often it was run.
    pub(super) runs: usize,
}

/// What was called in all scenarios.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Calls of each phase.
    pub(super) phases: BTreeMap<&'static str, u64>,
    /// The largest memory of an instance.
    pub(super) memory: usize,
}

impl Reached {
    fn add(&mut self, outcome: &Outcome) {
        for call in &outcome.calls {
            *self.phases.entry(call.phase.name()).or_default() += 1;
            self.memory = self.memory.max(call.memory);
        }
    }
}

/// Runs a scenario, up to the first problem.
pub(super) async fn run(
    (plugin, state): (&Arc<Plugin>, &CaseServices),
    scenario: &Scenario,
    reached: &mut Reached,
) -> Shown {
    let mut shown = Shown::default();
    let mut whole: Option<Seen> = None;
    // Twice whole: nothing of the first exchange may be left for the second.
    let again = (!scenario.is_huge).then_some(Cut::Whole);
    let cuts = [Cut::Whole].into_iter().chain(again);
    for cut in cuts.chain(scenario.cuts()) {
        // What a plugin has counted or kept is no difference between two exchanges.
        state.begin(&[]);
        let outcome = scripted::run(plugin, &scenario.script, cut).await;
        shown.runs += 1;
        reached.add(&outcome);
        if let Some((problem, is_limit)) = violation(&outcome) {
            if is_limit && scenario.is_huge {
                shown.limit = Some(problem);
            } else {
                shown.problem = Some(problem);
            }
            return shown;
        }
        let seen = Seen::of(&outcome);
        let Some(first) = &whole else {
            whole = Some(seen);
            continue;
        };
        if let Some(difference) = first.difference(&seen) {
            shown.problem = Some(differs(scenario, cut, seen.last, &difference));
            return shown;
        }
    }
    shown
}

fn differs(scenario: &Scenario, cut: Cut, phase: &'static str, difference: &str) -> Problem {
    let (what, mend) = match (cut, &scenario.script.response) {
        (Cut::Every(_) | Cut::Behind(_), Some(response)) => {
            let place = place(response.body(), cut);
            let what = format!(
                "what comes out depends on how the response arrives: {place}, {difference}"
            );
            (what, SAME)
        }
        (_, _) => (
            format!("what comes out differs between two equal exchanges: {difference}"),
            REPEATABLE,
        ),
    };
    Problem {
        phase,
        what,
        mend: mend.to_owned(),
    }
}

/// What the component did that the contract does not allow, and whether it is an exceeded limit.
fn violation(outcome: &Outcome) -> Option<(Problem, bool)> {
    for call in &outcome.calls {
        if let Some(failure) = &call.failure {
            let problem = Problem {
                phase: call.phase.name(),
                what: failure.reason.clone(),
                mend: failure.mend.clone(),
            };
            return Some((problem, failure.is_limit));
        }
    }
    // A result that is not allowed is found behind the call, after which the instance is not called again.
    let broken = |code: &str| code == "plugin_fault" || code == "internal";
    let failure = outcome.failures.iter().find(|it| broken(it.label))?;
    let problem = Problem {
        phase: last(outcome),
        what: failure.cause().to_owned(),
        mend: ALLOWED.to_owned(),
    };
    Some((problem, false))
}

fn last(outcome: &Outcome) -> &'static str {
    let mut phases = outcome.calls.iter().map(|call| call.phase.name());
    phases
        .rfind(|phase| *phase != "closing.closed")
        .unwrap_or("no call")
}

/// What came out at both ends.
struct Seen {
    upstream: Option<Message>,
    client: Option<Message>,
    codes: String,
    /// Whether the component itself refused the exchange: what went out before depends on the batch in which that was.
    refused: bool,
    notes: Vec<(String, String)>,
    last: &'static str,
}

impl Seen {
    fn of(outcome: &Outcome) -> Self {
        let mut codes: Vec<&str> = outcome.failures.iter().map(|it| &*it.code).collect();
        if outcome.cut_off {
            codes.push("the body is cut off");
        }
        let mut notes = outcome.notes.clone();
        notes.sort();
        Self {
            upstream: outcome.upstream.as_ref().map(Message::of_request),
            client: outcome.client.as_ref().map(Message::of_response),
            codes: codes.join(", "),
            refused: outcome
                .failures
                .iter()
                .any(|it| it.label == "refused" && it.code != "inner_fault"),
            last: last(outcome),
            notes,
        }
    }

    /// How another run differs.
    fn difference(&self, other: &Self) -> Option<String> {
        if self.upstream != other.upstream {
            let text = excerpt(self.upstream.as_ref(), other.upstream.as_ref());
            return Some(format!("the model server is asked {text}"));
        }
        if self.refused && other.refused {
            return None;
        }
        if self.codes != other.codes {
            return Some(format!(
                "the failures are `{}` instead of `{}`",
                other.codes, self.codes
            ));
        }
        if self.client != other.client {
            let text = excerpt(self.client.as_ref(), other.client.as_ref());
            return Some(format!("the client gets {text}"));
        }
        if self.notes != other.notes {
            return Some(format!(
                "the notes are {:?} instead of {:?}",
                other.notes, self.notes
            ));
        }
        None
    }
}

/// Characters of either message that are shown. Arbitrary: a line.
const SHOWN: usize = 60;

/// The first place at which two messages differ.
fn excerpt(expected: Option<&Message>, found: Option<&Message>) -> String {
    let text = |message: Option<&Message>| message.map(Message::to_text).unwrap_or_default();
    let (expected, found) = (text(expected), text(found));
    let same = expected
        .chars()
        .zip(found.chars())
        .take_while(|(one, other)| one == other)
        .count();
    let shown = |text: &str| -> String {
        let begin = same.saturating_sub(SHOWN / 3);
        let shown: String = text.chars().skip(begin).take(SHOWN).collect();
        shown.escape_debug().to_string()
    };
    format!("`…{}…` instead of `…{}…`", shown(&found), shown(&expected))
}
