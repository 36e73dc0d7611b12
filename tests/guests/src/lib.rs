//! What the guests of the end-to-end tests have in common: a client's request tells them how to misbehave.
//!
//! The field `x-guest` holds pairs of a phase and an act, such as `request-head=trap, response-events=loop`. So one compiled
//! component serves all tests, and failing exchanges run beside others.

use serde::Deserialize;
use sluicegate_plugin::{Context, Fault, Reply, RequestPlan, ResponsePlan};

mod deed;
// As a component it is an example of its own: its exports would be those of every guest.
#[cfg(not(target_family = "wasm"))]
pub mod rules;

pub use deed::perform;

/// The request field with the acts.
pub const FIELD: &str = "x-guest";

/// The field of requests and responses with the marks of the guest `marker`, each followed by a dot.
pub const MARKS: &str = "x-marks";

/// What the guest `marker` has in its component: another number in its place makes another build.
pub const BUILD: &str = "@build:000000@";

/// Bytes of a result that is larger than the tests' limits for it.
pub const OVERSIZE: usize = 2 << 20;

/// The configuration of all guests.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// An act to perform while the plugin is loaded; `refuse` refuses the configuration.
    pub configure: String,
}

impl Config {
    /// The JSON Schema.
    pub const SCHEMA: &str = r#"{"type":"object","properties":{"configure":{"type":"string"}},"additionalProperties":false}"#;

    /// Performs the act.
    ///
    /// # Errors
    /// The guest's reason, if it is to refuse.
    pub fn obey(&self) -> Result<(), String> {
        if self.configure == "refuse" {
            return Err("`configure` says that it must refuse".to_owned());
        }
        perform(&self.configure);
        Ok(())
    }
}

/// The acts of one exchange.
#[derive(Clone, Debug, Default)]
pub struct Acts(Vec<(String, String)>);

impl Acts {
    /// Reads the acts from the request; call it in a request phase.
    pub fn of(ctx: &Context<'_>) -> Self {
        Self::parse(&ctx.get_str(FIELD).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        Self(
            pairs
                .map(|(phase, act)| (phase.trim().to_owned(), act.trim().to_owned()))
                .collect(),
        )
    }

    /// What to do in a phase; "" for nothing special.
    pub fn at(&self, phase: &str) -> &str {
        let act = self.0.iter().find(|(name, _)| name == phase);
        act.map_or("", |(_, act)| act)
    }

    /// What to do in a phase, after what can be done there and then; a fault where the act is one.
    ///
    /// # Errors
    /// The fault that the act asks for.
    pub fn perform(&self, phase: &str) -> Result<&str, Fault> {
        let act = self.at(phase);
        perform(act);
        match act {
            "fail" => Err(Fault::new(418, "guest_refuses", "The guest refuses.").param("x")),
            "fail-200" => Err(Fault::new(200, "odd", "No error at all.")),
            _ => Ok(act),
        }
    }

    /// The plan for the request body; by default skip.
    pub fn request_plan(&self) -> RequestPlan {
        match self.at("request-plan") {
            "look" => RequestPlan::Look,
            "whole" => RequestPlan::Whole,
            _ => RequestPlan::Skip,
        }
    }

    /// The plan for the response body; by default skip.
    pub fn response_plan(&self) -> ResponsePlan {
        match self.at("response-plan") {
            "whole" => ResponsePlan::Whole,
            "chunks" => ResponsePlan::Chunks,
            "sse" => ResponsePlan::Sse,
            "ndjson" => ResponsePlan::Ndjson,
            "document" => ResponsePlan::Document,
            _ => ResponsePlan::Skip,
        }
    }
}

/// The reply that an act asks for, if it asks for one.
pub fn reply(act: &str) -> Option<Reply> {
    let reply = |status| {
        Reply::new(status, "guest.reply")
            .field("x-from", "guest")
            .field("content-length", "1")
            .field("no such name", "x")
            .json(r#"{"from":"guest"}"#)
    };
    match act {
        "reply" => Some(reply(203)),
        "reply-99" => Some(reply(99)),
        "reply-101" => Some(reply(101)),
        "reply-600" => Some(reply(600)),
        "reply-fields" => Some(
            (0..30_000).fold(Reply::new(200, "guest.many"), |reply, at| {
                reply.field(format!("x-{at}"), "v")
            }),
        ),
        "reply-oversize" => Some(Reply::new(200, "guest.large").json(vec![b'x'; OVERSIZE])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_found_by_phase() {
        let acts = Acts::parse("request-head=trap, response-plan=sse,junk");
        assert_eq!(acts.at("request-head"), "trap");
        assert_eq!(acts.response_plan(), ResponsePlan::Sse);
        assert_eq!((acts.at("junk"), acts.at("check")), ("", ""));
        assert_eq!(acts.request_plan(), RequestPlan::Skip);
    }

    #[test]
    fn only_acts_that_are_replies_give_one() {
        assert_eq!(reply("reply-99").map(|reply| reply.status), Some(99));
        assert!(reply("trap").is_none());
    }
}
