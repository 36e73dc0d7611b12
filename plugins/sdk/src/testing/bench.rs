//! The benches: a loaded plugin, ready to be run.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outcome::{GateOutcome, Outcome, Sent};
use super::request::Request;
use super::response::Response;
use super::run::{Run, legal_fault, legal_reply};
use crate::action::Verdict;
use crate::context::Context;
use crate::manifest::Manifest;
use crate::role::{Filter, Gate, Observer};
use crate::summary::Summary;

/// A loaded gate.
#[derive(Debug)]
pub struct GateBench<G>(G);

impl<G: Gate> GateBench<G> {
    /// Loads the gate with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        load(&G::manifest(), &config.into(), G::configure).map(Self)
    }

    /// Shows one request to the gate.
    pub fn check(&self, request: Request) -> GateOutcome {
        let (exchange, body) = request.begin();
        let verdict = match self.0.check(&Context::new(&exchange)) {
            Ok(Verdict::Reply(reply)) => legal_reply(reply).map(Verdict::Reply),
            Ok(Verdict::Allow) => Ok(Verdict::Allow),
            Err(fault) => Err(legal_fault(fault)),
        };
        GateOutcome {
            verdict,
            request: Sent::of(&exchange, body),
            notes: exchange.notes.take(),
        }
    }
}

/// A loaded observer.
#[derive(Debug)]
pub struct ObserverBench<O>(O);

impl<O: Observer> ObserverBench<O> {
    /// Loads the observer with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        load(&O::manifest(), &config.into(), O::configure).map(Self)
    }

    /// Shows finished exchanges to the observer, at most 64 at a time.
    pub fn observe(&self, summaries: &[Summary]) {
        for batch in summaries.chunks(64) {
            self.0.observe(batch);
        }
    }
}

/// A loaded filter.
#[derive(Debug)]
pub struct FilterBench<F> {
    pub(super) rule: F,
    pub(super) manifest: Manifest,
}

impl<F: Filter> FilterBench<F> {
    /// Loads the filter with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        let manifest = F::manifest();
        let rule = load(&manifest, &config.into(), F::configure)?;
        Ok(Self { rule, manifest })
    }

    /// Runs the request phases only.
    ///
    /// # Errors
    /// The outcome, if the filter failed or answered.
    pub fn send(&self, request: Request) -> Result<Sent, Box<Outcome>> {
        let (mut run, body) = Run::begin(self, request);
        match run.request(body) {
            Ok(sent) => Ok(sent),
            Err(stop) => Err(Box::new(run.stopped(Outcome::default(), stop))),
        }
    }

    /// Runs a whole exchange. If the request phases end it, the response is not looked at.
    pub fn run(&self, request: Request, response: &Response) -> Outcome {
        let (mut run, body) = Run::begin(self, request);
        let mut outcome = Outcome::default();
        match run.request(body) {
            Ok(sent) => outcome.sent = Some(sent),
            Err(stop) => return run.stopped(outcome, stop),
        }
        match run.response(response, &mut outcome) {
            Ok(()) => run.ended(outcome),
            Err(stop) => run.stopped(outcome, stop),
        }
    }
}

fn load<C: DeserializeOwned, R>(
    manifest: &Manifest,
    config: &Value,
    configure: fn(C) -> Result<R, String>,
) -> Result<R, String> {
    let text = manifest.to_json();
    if serde_json::from_str::<BTreeMap<String, Value>>(&text).is_err() {
        return Err(format!("the manifest is not a JSON object: {text}"));
    }
    if !manifest.accepts_config() && config.as_object().is_none_or(|map| !map.is_empty()) {
        return Err("a plugin without a schema takes no configuration".into());
    }
    // Through text, as in the gateway: configurations may hold raw JSON values.
    let config = serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())?;
    configure(config)
}
