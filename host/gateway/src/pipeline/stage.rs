//! One stage in one exchange: its instance, and what its results mean.

use std::sync::Arc;

use hyper::{HeaderMap, StatusCode};
use sluicegate_contract::fields::{self, MAX_BYTES, MAX_COUNT};
use sluicegate_contract::{Exports, Manifest, RequestPlan, Violation, check_fault, check_reply};

use super::stop::Stop;
use crate::failure::{Failure, Kind};
use sluicegate_plugin_host::instance::Instance;
use sluicegate_plugin_host::wit::{self, Field, Reply};
use sluicegate_plugin_host::{self as plugin, Plugin, TargetInfo};

/// With more, a client can use up a plugin's budget on purpose. That must not have a new version rolled back, so such a fault does
/// not count there. Arbitrary; long conversations have less, unless they have images.
const ORDINARY_BODY: usize = 256 * 1024;

/// A plugin in one exchange, or an adapter in one attempt.
pub(super) struct Stage {
    plugin: Arc<Plugin>,
    /// `None` until the first call, and again when there is nothing left to call.
    instance: Option<Instance>,
    target: Option<Arc<TargetInfo>>,
    /// How it wants to see the request body.
    pub(super) plan: RequestPlan,
    /// It has failed, or its instance was given back: it is not called again.
    finished: bool,
    /// It was called at least once.
    took_part: bool,
    /// It is a front and was shown a fault of its own.
    was_shown_own: bool,
}

impl Stage {
    pub(super) fn new(plugin: Arc<Plugin>, target: Option<Arc<TargetInfo>>) -> Self {
        Self {
            plugin,
            instance: None,
            target,
            plan: RequestPlan::Skip,
            finished: false,
            took_part: false,
            was_shown_own: false,
        }
    }

    pub(super) fn exports(&self) -> Exports {
        self.plugin.exports()
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    /// Whether it is not called again.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the stage is shown a stop of the body in the phase that is under way. It is shown a `foreign` one, which it did
    /// not cause, unless it is an adapter: a failure of the model server begins outside of that. For its own stop see
    /// [`takes_own_fault`](Self::takes_own_fault); if the head is held back, that comes as a response.
    pub(super) fn is_shown(&mut self, stop: &Stop, foreign: bool, held: bool) -> bool {
        match stop {
            Stop::Failure(_) if foreign => self.target.is_none(),
            Stop::Failure(_) => !held && self.takes_own_fault(),
            Stop::Reply(_) => false,
        }
    }

    /// Whether it is shown a fault of its own. A front is, once, so that a client gets all errors in its dialect.
    pub(super) fn takes_own_fault(&mut self) -> bool {
        let takes = !self.finished && self.manifest().front.is_some();
        takes && !std::mem::replace(&mut self.was_shown_own, true)
    }

    /// Whether it was called at least once.
    pub(super) fn took_part(&self) -> bool {
        self.took_part
    }

    /// The instance, for the next call.
    pub(super) fn instance(&mut self) -> &mut Instance {
        self.took_part = true;
        let Self {
            plugin,
            instance,
            target,
            ..
        } = self;
        instance.get_or_insert_with(|| Instance::new(plugin, target.clone()))
    }

    /// Whether `closing` is its only phase: then that call creates the instance.
    pub(super) fn only_closes(&self) -> bool {
        let exports = self.exports();
        exports.closing && !exports.sees_request() && !exports.sees_response()
    }

    /// The instance, if it is alive and the component exports `closing`.
    pub(super) fn closing(&mut self) -> Option<&mut Instance> {
        self.instance
            .as_mut()
            .filter(|_| self.plugin.exports().closing)
    }

    /// Only `closing` is left to call: gives the instance back unless the component exports that.
    pub(super) fn release(&mut self) {
        if !self.plugin.exports().closing {
            self.instance = None;
            self.finished = true;
        }
    }

    /// Handles a failure of the plugin: the exchange fails, or goes on without the stage if it is configured to fail open.
    pub(super) fn on_error(&mut self, error: plugin::Error) -> Result<(), Failure> {
        if !matches!(error, plugin::Error::Exhausted) {
            self.plugin.count_fault();
        }
        self.give_up(error)
    }

    /// As [`Stage::on_error`], for the request phase that got a body of this size.
    pub(super) fn on_body_error(
        &mut self,
        error: plugin::Error,
        bytes: usize,
    ) -> Result<(), Failure> {
        let exhausts = matches!(
            error,
            plugin::Error::Deadline { .. }
                | plugin::Error::Memory { .. }
                | plugin::Error::Output { .. }
        );
        if exhausts && bytes > ORDINARY_BODY {
            return self.give_up(error);
        }
        self.on_error(error)
    }

    fn give_up(&mut self, error: plugin::Error) -> Result<(), Failure> {
        self.instance = None;
        self.finished = true;
        let plugin = &self.plugin;
        if plugin.fails_open() && !matches!(error, plugin::Error::Exhausted) {
            tracing::warn!(plugin = plugin.name(), %error, "stage failed; the exchange goes on without it");
            return Ok(());
        }
        Err(plugin_failure(plugin, error))
    }

    /// Handles a result that breaks the contract.
    pub(super) fn on_violation(&mut self, Violation(text): Violation) -> Result<(), Failure> {
        self.on_error(plugin::Error::Contract(text))
    }

    /// A stage's own response or error, if it can be sent.
    pub(super) fn checked_stop(&mut self, stop: wit::Stop) -> Stop {
        match stop {
            wit::Stop::Reply(reply) => self.checked_reply(reply),
            wit::Stop::Fault(fault) => self.fault_to_failure(fault).into(),
        }
    }

    fn checked_reply(&mut self, reply: Reply) -> Stop {
        if let Err(Violation(text)) = check_reply(reply.status).and(check_fields(&reply.fields)) {
            return self.broken_contract(text).into();
        }
        tracing::debug!(
            plugin = self.plugin.name(),
            reason = reply.reason,
            status = reply.status,
            "stage replies"
        );
        Stop::Reply(reply)
    }

    /// A stage's fault in the client's error format.
    pub(super) fn fault_to_failure(&mut self, fault: wit::Fault) -> Failure {
        let fields = fault.fields.as_deref().unwrap_or_default();
        if let Err(Violation(text)) = check_fault(fault.status).and(check_fields(fields)) {
            return self.broken_contract(text);
        }
        let fields = legal(fields);
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_GATEWAY);
        // Adapters and fronts pass on the faults of others.
        if status.is_server_error() && self.target.is_none() && self.manifest().front.is_none() {
            self.plugin.count_fault();
        }
        let failure = Failure::refused(status, fault.code, fault.message, fault.param);
        failure.with_fields(fields)
    }

    /// A stop that breaks the contract. It fails the exchange even if the stage may fail open: the stage wanted to end the
    /// exchange.
    fn broken_contract(&mut self, text: String) -> Failure {
        self.instance = None;
        self.finished = true;
        self.plugin.count_fault();
        plugin_failure(&self.plugin, plugin::Error::Contract(text))
    }
}

/// A stage's own response may have no more fields than any other head.
fn check_fields(fields: &[Field]) -> Result<(), Violation> {
    let bytes: usize = fields
        .iter()
        .map(|field| field.name.len() + field.value.len())
        .sum();
    if fields.len() <= MAX_COUNT && bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(Violation(format!(
        "its response has {} header fields with {bytes} bytes, more than {MAX_COUNT} or {MAX_BYTES}",
        fields.len()
    )))
}

/// The fields of a stage's own response that it may set.
pub(super) fn legal(given: &[Field]) -> HeaderMap {
    fields::legal(given.iter().map(|field| (&*field.name, &*field.value)))
}

fn plugin_failure(plugin: &Plugin, error: plugin::Error) -> Failure {
    match error {
        plugin::Error::Exhausted => Failure::new(
            Kind::Overloaded,
            "The gateway has no free sandbox. Try again in a moment.",
        )
        .with_field("retry-after", "1")
        .caused_by(error),
        plugin::Error::Engine(_)
        | plugin::Error::Trap { .. }
        | plugin::Error::Deadline { .. }
        | plugin::Error::Stalled
        | plugin::Error::Memory { .. }
        | plugin::Error::Output { .. }
        | plugin::Error::Contract(_) => Failure::new(
            Kind::PluginFault,
            format!("The gateway's stage `{}` failed.", plugin.name()),
        )
        .caused_by(error),
    }
}
