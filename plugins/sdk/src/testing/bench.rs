//! The bench: a loaded plugin, ready to be run.

use std::fmt;

use serde_json::Value;
use sluicegate_contract::Manifest;

use super::outcome::{GateOutcome, Outcome, Sent};
use super::request::Request;
use super::response::Response;
use super::run::Run;
use crate::export::{Exported, Interfaces};
use crate::summary::Summary;

/// A loaded plugin. It must be exported with [`export!`](crate::export!): only the interfaces named there are called.
pub struct Bench<P: Exported> {
    pub(super) rule: P,
    pub(super) manifest: Manifest,
    pub(super) interfaces: Interfaces<P>,
}

impl<P: Exported> Bench<P> {
    /// Loads the plugin with a configuration.
    ///
    /// # Errors
    /// The message that the operator would see.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        let config = config.into();
        let text = P::manifest().to_json();
        let manifest = Manifest::parse(&text)
            .map_err(|error| format!("the manifest cannot be read: {error}: {text}"))?;
        if manifest.config.is_none() && config.as_object().is_none_or(|map| !map.is_empty()) {
            return Err("a plugin without a schema accepts no configuration".into());
        }
        // Converted to text first, as in the gateway: configurations may contain raw JSON values.
        let config =
            serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())?;
        Ok(Self {
            rule: P::configure(config)?,
            manifest,
            interfaces: P::interfaces(),
        })
    }

    /// Shows one request to `gate` only.
    ///
    /// # Panics
    /// If the plugin does not export `gate`.
    pub fn check(&self, request: Request) -> GateOutcome {
        Run::begin(self, request).check()
    }

    /// Runs the request phases only. In an adapter this is one attempt.
    ///
    /// # Errors
    /// The outcome, if the plugin refused, failed or responded.
    pub fn send(&self, request: Request) -> Result<Sent, Box<Outcome>> {
        let mut run = Run::begin(self, request);
        match run.request() {
            Ok(sent) => Ok(sent),
            Err(end) => Err(Box::new(run.close(Outcome::default(), Err(end)))),
        }
    }

    /// Runs a whole exchange. If the request phases end it, the response is not used; a front is then shown its own fault.
    pub fn run(&self, request: Request, response: &Response) -> Outcome {
        let mut run = Run::begin(self, request);
        let mut outcome = Outcome::default();
        let end = match run.request() {
            Ok(sent) => {
                outcome.sent = Some(sent);
                run.response(response, &mut outcome)
            }
            Err(end) => Err(end),
        };
        let end = run.own_fault(end, &mut outcome);
        run.close(outcome, end)
    }

    /// Shows finished exchanges to `observer`, at most 64 at a time.
    ///
    /// # Panics
    /// If the plugin does not export `observer`.
    pub fn observe(&self, summaries: &[Summary]) {
        let observe = self
            .interfaces
            .observer
            .expect("the plugin exports `observer`");
        for batch in summaries.chunks(64) {
            observe(&self.rule, batch);
        }
    }
}

// Without the plugin's configuration, which may contain secrets.
impl<P: Exported> fmt::Debug for Bench<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("manifest", &self.manifest.name)
            .finish_non_exhaustive()
    }
}
