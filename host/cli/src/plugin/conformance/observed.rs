//! Finished exchanges, for observers.

use std::sync::Arc;

use super::report::Verdict;
use super::trial::{Problem, Reached, Shown};
use crate::plugin::bench::bodies;
use sluicegate_plugin_host::wit::Summary;
use sluicegate_plugin_host::{Plugin, instance};

/// The phase.
const OBSERVE: &str = "observer.observe";

/// What to do about a failed call.
const MEND: &str = "an observer is called with 1 to 64 summaries, each as the contract of `sluicegate wit` describes it: it must return, within its limits";

/// Summaries beside an ordinary one.
fn odd() -> [(&'static str, Summary<'static>); 7] {
    let ordinary = bodies::summary;
    [
        ("an ordinary exchange", ordinary()),
        (
            "a client that left before the head",
            Summary {
                status: 0,
                error: "client_closed",
                response_bytes: 0,
                events: 0,
                first_byte_us: 0,
                ..ordinary()
            },
        ),
        (
            "no route",
            Summary {
                route: "",
                upstream: "",
                target: "",
                attempts: 0,
                status: 404,
                error: "not_found",
                facts: &[],
                ..ordinary()
            },
        ),
        (
            "a failed stream",
            Summary {
                status: 200,
                error: "upstream_broken",
                attempts: 3,
                ..ordinary()
            },
        ),
        (
            "an IPv6 client and an odd path",
            Summary {
                client: "2001:db8::1",
                path: "/%ff/%00/你好",
                method: "PURGE",
                ..ordinary()
            },
        ),
        (
            "the largest numbers",
            Summary {
                status: 599,
                attempts: u32::MAX,
                request_bytes: u64::MAX,
                response_bytes: u64::MAX,
                events: u64::MAX,
                duration_us: u64::MAX,
                first_byte_us: u64::MAX,
                overhead_us: u64::MAX,
                ..ordinary()
            },
        ),
        (
            "notes of all kinds",
            Summary {
                facts: &[
                    ("", "null"),
                    ("model", "7"),
                    (
                        "usage",
                        "{\"prompt_tokens\":-1,\"completion_tokens\":\"x\"}",
                    ),
                    ("finish", "[\"stop\"]"),
                    ("stream", "\"yes\""),
                    ("tenant", "{\"name\":\"\\ud800\"}"),
                    ("sluicegate.new", "\"a fact of a later gateway\""),
                    ("你好", "\"\\u0000\""),
                ],
                ..ordinary()
            },
        ),
    ]
}

/// Shows an observer all kinds of summaries, one at a time and as many as the contract allows.
pub(super) async fn run(plugin: &Arc<Plugin>, reached: &mut Reached) -> Verdict {
    let mut verdict = Verdict::new("finished exchanges");
    for (name, summary) in odd() {
        let shown = observe(plugin, &[summary], reached).await;
        verdict.add(&format!("\"{name}\""), shown);
    }
    let many: Vec<Summary<'_>> = (0..64).map(|_| bodies::summary()).collect();
    let shown = observe(plugin, &many, reached).await;
    verdict.add("\"64 at once\"", shown);
    let long = "x".repeat(60 << 10);
    let large = Summary {
        path: &long,
        facts: &[("model", "\"m\"")],
        ..bodies::summary()
    };
    let shown = observe(plugin, &[large], reached).await;
    verdict.add("\"a long path\"", shown);
    verdict
}

async fn observe(plugin: &Arc<Plugin>, batch: &[Summary<'_>], reached: &mut Reached) -> Shown {
    *reached.phases.entry(OBSERVE).or_default() += 1;
    let observed = instance::observe(plugin, batch).await;
    Shown {
        problem: observed.err().map(|error| Problem {
            phase: OBSERVE,
            what: error.to_string(),
            mend: MEND.to_owned(),
        }),
        limit: None,
        runs: 1,
    }
}
