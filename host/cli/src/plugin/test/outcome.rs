//! What came out of a case, and whether that depends on where the response was cut.

use std::sync::Arc;

use bytes::Bytes;

use super::cuts;
use crate::plugin::log;
use crate::plugin::message::Message;
use sluicegate_gateway::exchange::scripted::{self, Cut, Outcome, Script};
use sluicegate_plugin_host::Plugin;

/// What came out at both ends.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) upstream: Option<Message>,
    pub(super) client: Option<Message>,
    /// Codes of failures, one a line; `None` if nothing failed.
    pub(super) fault: Option<String>,
    /// What led to the failures. It may have addresses of code in it, so it is shown but not compared.
    pub(super) causes: Vec<String>,
}

/// A cut with which something else comes out than from a response that arrives whole.
#[derive(Debug)]
pub(super) struct Split {
    /// Where it is, in words.
    pub(super) place: String,
    /// What came out with it.
    pub(super) observed: Observed,
}

/// In how many ways the response arrived, and the first of them with which something else came out than when it was whole.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) number: usize,
    pub(super) differing: Option<Split>,
}

/// Runs a case with all its cuts, up to the first with which something else comes out. `begin` is called before each run.
pub(super) async fn observe(
    plugin: &Arc<Plugin>,
    script: &Script,
    begin: impl Fn(),
) -> (Observed, Arrivals) {
    begin();
    let whole = Observed::of(&scripted::run(plugin, script, Cut::Whole).await);
    // What it logs would come again with each cut.
    log::show_lines(false);
    let none = Bytes::new();
    let body = script
        .response
        .as_ref()
        .map_or(&none, |response| response.body());
    let mut number = 1;
    for cut in cuts(body.len()) {
        number += 1;
        begin();
        let observed = Observed::of(&scripted::run(plugin, script, cut).await);
        if !observed.is_the_same_as(&whole) {
            let place = place(body, cut);
            let differing = Some(Split { place, observed });
            return (whole, Arrivals { number, differing });
        }
    }
    let differing = None;
    (whole, Arrivals { number, differing })
}

impl Observed {
    fn of(outcome: &Outcome) -> Self {
        let mut codes: Vec<&str> = Vec::new();
        let mut causes = Vec::new();
        for failure in &outcome.failures {
            codes.push(&failure.code);
            if !failure.cause().is_empty() {
                causes.push(format!("{}: {}", failure.code, failure.cause()));
            }
        }
        if outcome.cut_off {
            codes.push("the body is cut off");
        }
        Self {
            upstream: outcome.upstream.as_ref().map(Message::of_request),
            client: outcome.client.as_ref().map(Message::of_response),
            fault: (!codes.is_empty()).then(|| codes.join("\n")),
            causes,
        }
    }

    fn is_the_same_as(&self, other: &Self) -> bool {
        (&self.upstream, &self.client, &self.fault)
            == (&other.upstream, &other.client, &other.fault)
    }
}

/// Characters shown on either side of a cut. Arbitrary: a few words.
const SHOWN: usize = 24;

/// Where a body is cut, in words.
pub(in crate::plugin) fn place(body: &[u8], cut: Cut) -> String {
    let at = match cut {
        Cut::Whole => return "whole".into(),
        Cut::Every(bytes) => {
            return match bytes {
                0 | 1 => "byte by byte".into(),
                bytes => format!("{bytes} bytes at a time"),
            };
        }
        Cut::Behind(at) => at.min(body.len()),
    };
    let before = body[at.saturating_sub(SHOWN)..at].escape_ascii();
    let behind = body[at..(at + SHOWN).min(body.len())].escape_ascii();
    format!(
        "cut behind byte {at} of {}, `{before}` | `{behind}`",
        body.len()
    )
}
