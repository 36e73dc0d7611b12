//! Which results of a stage are legal.

use crate::framing::Framing;
use crate::manifest::Manifest;

/// A result that violates the contract; the text says how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// The phase interfaces that a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each interface, in any combination"
)]
#[expect(missing_docs, reason = "each is the interface of that name")]
pub struct Exports {
    pub gate: bool,
    pub request: bool,
    pub response: bool,
    pub chunks: bool,
    pub events: bool,
    pub closing: bool,
    pub observer: bool,
}

impl Exports {
    /// Whether the component sees requests.
    #[must_use]
    pub const fn sees_request(self) -> bool {
        self.gate || self.request
    }

    /// Whether the component sees responses. (`chunks` has no effect without `response`.)
    #[must_use]
    pub const fn sees_response(self) -> bool {
        self.response || self.events
    }

    /// Whether the component can stand in a pipeline.
    #[must_use]
    pub const fn is_stage(self) -> bool {
        self.sees_request() || self.sees_response() || self.closing
    }

    /// The names of the interfaces that are exported, in the order of an exchange.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.gate, "gate"),
            (self.request, "request"),
            (self.response, "response"),
            (self.chunks, "chunks"),
            (self.events, "events"),
            (self.closing, "closing"),
            (self.observer, "observer"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }
}

/// How a stage wants to see the request body; see `request.plan` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract documents each case")]
pub enum RequestPlan {
    Skip,
    Look,
    Whole,
}

/// How a stage wants to see the response body; see `response.plan` in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract documents each case")]
pub enum ResponsePlan {
    Skip,
    Whole,
    Chunks,
    Sse,
    Ndjson,
    Document,
}

impl ResponsePlan {
    /// The framing of what goes out, if the plan asks for events.
    #[must_use]
    pub const fn events(self) -> Option<Framing> {
        match self {
            Self::Sse => Some(Framing::Sse),
            Self::Ndjson => Some(Framing::Ndjson),
            Self::Document => Some(Framing::Document),
            Self::Skip | Self::Whole | Self::Chunks => None,
        }
    }

    /// Whether the response head is held back until the stage has given the body.
    #[must_use]
    pub const fn holds_head(self) -> bool {
        matches!(self, Self::Whole | Self::Document)
    }
}

/// A reply must have a final status.
///
/// # Errors
/// [`Violation`]
pub fn check_reply(status: u16) -> Result<(), Violation> {
    if (200..=599).contains(&status) {
        return Ok(());
    }
    Err(Violation(format!("{status} is not a status for a reply")))
}

/// A fault must have an error status.
///
/// # Errors
/// [`Violation`]
pub fn check_fault(status: u16) -> Result<(), Violation> {
    if (400..=599).contains(&status) {
        return Ok(());
    }
    Err(Violation(format!("{status} is not an error status")))
}

/// A stage whose manifest says that it changes nothing must not change anything.
///
/// # Errors
/// [`Violation`]
pub fn check_replacement(manifest: &Manifest, replaces: bool) -> Result<(), Violation> {
    if !replaces || manifest.transforms {
        return Ok(());
    }
    Err(Violation(
        "its manifest says that it does not change bodies, but it changed one".into(),
    ))
}

/// `request.body` must not replace the body after the plan `look`.
///
/// # Errors
/// [`Violation`]
pub fn check_request_body(
    manifest: &Manifest,
    plan: RequestPlan,
    replaces: bool,
) -> Result<(), Violation> {
    if plan == RequestPlan::Look && replaces {
        return Err(Violation(
            "`request.body` must return `none` if the plan was `look`".into(),
        ));
    }
    check_replacement(manifest, replaces)
}

/// A plan needs the export that it asks for, and a stage that changes nothing must not change the framing either.
///
/// # Errors
/// [`Violation`]
pub fn check_response_plan(
    manifest: &Manifest,
    exports: Exports,
    plan: ResponsePlan,
    incoming: Framing,
) -> Result<(), Violation> {
    if plan == ResponsePlan::Chunks && !exports.chunks {
        return Err(Violation(
            "the plan `chunks` needs the export `chunks`".into(),
        ));
    }
    let Some(out) = plan.events() else {
        return Ok(());
    };
    if !exports.events {
        return Err(Violation(
            "the plans `sse`, `ndjson` and `document` need the export `events`".into(),
        ));
    }
    if !manifest.transforms && out != incoming {
        return Err(Violation(
            "its manifest says that it does not change bodies, but it changes the framing".into(),
        ));
    }
    Ok(())
}

/// What `events.batch` may return; `replaced` is the number of events in place of the batch, if it returned any list.
///
/// # Errors
/// [`Violation`]
pub fn check_batch(
    manifest: &Manifest,
    out: Framing,
    replaced: Option<usize>,
) -> Result<(), Violation> {
    if out == Framing::Document && replaced.is_some_and(|count| count > 0) {
        return Err(Violation(
            "with the plan `document` the body is given by `events.end`, not as events of a batch"
                .into(),
        ));
    }
    check_replacement(manifest, replaced.is_some() && out != Framing::Document)
}

/// What `events.end` may return: `count` events.
///
/// # Errors
/// [`Violation`]
pub fn check_end(manifest: &Manifest, out: Framing, count: usize) -> Result<(), Violation> {
    if out != Framing::Document {
        return check_replacement(manifest, count > 0);
    }
    if count == 1 {
        return Ok(());
    }
    Err(Violation(format!(
        "with the plan `document`, `events.end` must return exactly one event, the body; it returned {count}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("a manifest")
    }

    #[test]
    fn statuses_of_replies_and_faults_are_bounded() {
        assert!(check_reply(200).is_ok() && check_reply(599).is_ok());
        assert!(check_reply(199).is_err() && check_reply(600).is_err());
        assert!(check_fault(400).is_ok() && check_fault(599).is_ok());
        assert!(check_fault(399).is_err() && check_fault(600).is_err());
    }

    #[test]
    fn a_stage_that_says_it_changes_nothing_is_held_to_it() {
        let watcher = manifest(r#"{"name":"x","transforms":false}"#);
        let filter = manifest(r#"{"name":"x"}"#);
        assert!(check_replacement(&watcher, false).is_ok());
        assert!(check_replacement(&watcher, true).is_err());
        assert!(check_replacement(&filter, true).is_ok());
        assert!(check_batch(&watcher, Framing::Sse, Some(0)).is_err());
        assert!(check_end(&watcher, Framing::Sse, 1).is_err());
        assert!(check_end(&watcher, Framing::Sse, 0).is_ok());
        let all = Exports {
            events: true,
            ..Exports::default()
        };
        let plan = |incoming| check_response_plan(&watcher, all, ResponsePlan::Sse, incoming);
        assert!(plan(Framing::Sse).is_ok() && plan(Framing::Ndjson).is_err());
    }

    #[test]
    fn a_plan_needs_its_export() {
        let filter = manifest(r#"{"name":"x"}"#);
        let plan = |exports, plan| check_response_plan(&filter, exports, plan, Framing::Sse);
        let none = Exports::default();
        assert!(plan(none, ResponsePlan::Whole).is_ok());
        for events in [
            ResponsePlan::Sse,
            ResponsePlan::Ndjson,
            ResponsePlan::Document,
        ] {
            assert!(plan(none, events).is_err(), "{events:?}");
        }
        assert!(plan(none, ResponsePlan::Chunks).is_err());
    }

    #[test]
    fn a_document_is_one_event_at_the_end() {
        let filter = manifest(r#"{"name":"x"}"#);
        assert!(check_batch(&filter, Framing::Document, None).is_ok());
        assert!(check_batch(&filter, Framing::Document, Some(0)).is_ok());
        assert!(check_batch(&filter, Framing::Document, Some(1)).is_err());
        for (count, legal) in [(0, false), (1, true), (2, false)] {
            assert_eq!(check_end(&filter, Framing::Document, count).is_ok(), legal);
        }
    }

    #[test]
    fn looking_replaces_nothing() {
        let filter = manifest(r#"{"name":"x"}"#);
        assert!(check_request_body(&filter, RequestPlan::Look, true).is_err());
        assert!(check_request_body(&filter, RequestPlan::Look, false).is_ok());
        assert!(check_request_body(&filter, RequestPlan::Whole, true).is_ok());
    }
}
