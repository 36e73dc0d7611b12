//! The corpus: what the contract lets come to a component, group by group.
//!
//! Each entry of the tables below is one scenario, whose name says what is in it. What is large is generated.

mod endings;
mod requests;
mod responses;

use bytes::Bytes;
use hyper::{Request, Response};

use crate::plugin::case::Case;
use crate::plugin::sample;
use sluicegate_contract::{Exports, Manifest};
use sluicegate_gateway::exchange::scripted::{Cut, Script};

/// The largest body or event that every component must be able to take. A larger one may exceed a limit of its sandbox.
pub(super) const LARGE: usize = 1 << 20;

/// Places at which a response is cut in two. Arbitrary: `plugin test` without `--conformance` tries many more.
const PLACES: usize = 24;

/// Scenarios that belong together.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) scenarios: Vec<Scenario>,
}

/// One exchange, and how its response arrives.
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) script: Script,
    cuts: Cuts,
    /// Whether something in it is larger than what every component must be able to take.
    pub(super) is_huge: bool,
}

/// How a response arrives beside whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cuts {
    /// No other way.
    None,
    /// Byte by byte, a few bytes at a time, and in two at some places.
    Fine,
    /// In blocks, so that large bodies take no minutes.
    Coarse,
}

impl Scenario {
    fn new(name: impl Into<String>, request: &Request<Bytes>, response: Response<Bytes>) -> Self {
        Self {
            name: name.into(),
            script: Script::new(request.clone(), Some(response)),
            cuts: Cuts::None,
            is_huge: false,
        }
    }

    fn fine(self) -> Self {
        let cuts = Cuts::Fine;
        Self { cuts, ..self }
    }

    fn coarse(self) -> Self {
        let cuts = Cuts::Coarse;
        Self { cuts, ..self }
    }

    fn huge(self) -> Self {
        let is_huge = true;
        Self { is_huge, ..self }
    }

    /// The ways in which the response arrives, beside whole.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        let body = self.script.response.as_ref().map(Response::body);
        let bytes = body.map_or(0, Bytes::len);
        match self.cuts {
            Cuts::None => Vec::new(),
            Cuts::Coarse => vec![Cut::Every(4_093)],
            Cuts::Fine if bytes == 0 => Vec::new(),
            Cuts::Fine => {
                let places = bytes.min(PLACES);
                let two = (1..=places).map(|place| Cut::Behind(place * bytes / places));
                [Cut::Every(1), Cut::Every(7)]
                    .into_iter()
                    .chain(two)
                    .collect()
            }
        }
    }
}

/// An ordinary exchange, which each scenario varies in one way.
pub(super) struct Ground {
    /// What is put before the name of a scenario.
    pub(super) name: String,
    pub(super) request: Request<Bytes>,
    pub(super) response: Response<Bytes>,
}

/// The ordinary exchanges: those of the cases, or else one with a stream and one without.
pub(super) fn grounds(manifest: &Manifest, cases: &[Case]) -> Vec<Ground> {
    if cases.is_empty() {
        let ground = |name: &str, stream| Ground {
            name: name.to_owned(),
            request: sample::request(manifest, stream),
            response: ordinary(manifest, stream),
        };
        let mut both = vec![
            ground("a stream is asked for", true),
            ground("no stream is asked for", false),
        ];
        // The first one gets the largest bodies: it has to be one whose response the component sees.
        if !manifest.wants_response(|name| (name == "stream").then_some("true")) {
            both.reverse();
        }
        return both;
    }
    let ground = |case: &Case| {
        let name = case.folder.file_name().unwrap_or_default();
        let response = case.script.response.clone();
        Ground {
            name: format!("case {}", name.to_string_lossy()),
            request: case.script.request.clone(),
            response: response.unwrap_or_else(|| ordinary(manifest, true)),
        }
    };
    cases.iter().map(ground).collect()
}

/// What a model server responds, in the form in which the component sees it.
fn ordinary(manifest: &Manifest, stream: bool) -> Response<Bytes> {
    let (kind, body) = match (sample::sees_ollama(manifest), stream) {
        (true, true) => (sample::NDJSON, sample::LINES),
        (true, false) => (sample::JSON, sample::WHOLE),
        (false, true) => (sample::SSE, sample::STREAM),
        (false, false) => (sample::JSON, sample::COMPLETION),
    };
    sample::response(kind, body)
}

/// The groups over one ordinary exchange. The largest bodies come with the `first` alone.
pub(super) fn groups(
    ground: &Ground,
    manifest: &Manifest,
    exports: Exports,
    first: bool,
) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut add = |name, scenarios: Vec<Scenario>| groups.push(Group { name, scenarios });
    add("methods and paths", requests::targets(ground));
    add("request fields", requests::fields(ground));
    add("request bodies", requests::bodies(ground));
    if exports.sees_response() || exports.closing {
        add("statuses", responses::statuses(ground));
        add("server-sent events", responses::sse(ground));
        add("newline-delimited JSON", responses::ndjson(ground));
        add("documents and plain bytes", responses::documents(ground));
        add(
            "the model server breaks off",
            endings::broken(ground, manifest),
        );
        add("the client leaves", endings::left(ground, manifest));
    }
    if exports.sees_response() && manifest.adapter.is_none() {
        add("stops from inside", endings::inside(ground));
        add("after an early head", endings::early(ground, manifest));
    }
    if manifest.front.is_some() {
        add("failures before the first stage", endings::entrance(ground));
    }
    if first {
        add("large requests", requests::large(ground));
        if exports.sees_response() {
            add("large responses", responses::large(ground, manifest));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn all(manifest: &str) -> Vec<Group> {
        let manifest = Manifest::parse(manifest).expect("a manifest");
        let exports = Exports {
            gate: true,
            request: true,
            response: true,
            chunks: true,
            events: true,
            closing: true,
            observer: false,
        };
        let grounds = grounds(&manifest, &[]);
        assert_eq!(grounds.len(), 2);
        groups(&grounds[0], &manifest, exports, true)
    }

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        for manifest in [
            r#"{"name":"x"}"#,
            r#"{"name":"x","front":"anthropic"}"#,
            r#"{"name":"x","adapter":{"vendor":"ollama"}}"#,
        ] {
            let mut names = HashSet::new();
            for group in all(manifest) {
                assert!(!group.scenarios.is_empty(), "{}", group.name);
                for scenario in group.scenarios {
                    let name = format!("{}: {}", group.name, scenario.name);
                    assert!(names.insert(name.clone()), "{name}");
                }
            }
        }
    }

    #[test]
    fn only_what_is_larger_than_every_component_must_take_may_exceed_a_limit() {
        for group in all(r#"{"name":"x"}"#) {
            for scenario in group.scenarios {
                let script = &scenario.script;
                let response = script.response.as_ref().map_or(0, |it| it.body().len());
                let largest = response.max(script.request.body().len());
                // The end of a stream comes behind its large event.
                let is_large = largest > LARGE + 128;
                assert_eq!(scenario.is_huge, is_large, "{}: {largest}", scenario.name);
            }
        }
    }

    #[test]
    fn the_first_exchange_is_one_whose_response_is_seen() {
        let manifest = r#"{"name":"x","response-if":{"stream":false}}"#;
        let manifest = Manifest::parse(manifest).expect("a manifest");
        assert_eq!(grounds(&manifest, &[])[0].name, "no stream is asked for");
    }
}
