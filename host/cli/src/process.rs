//! What the commands that run until a signal share: the log and the signals.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use sluicegate_config::Log;
use sluicegate_gateway::reload::Control;
use sluicegate_telemetry as telemetry;

/// Starts the log, or prints why that is not possible.
pub(super) fn logging(log: &Log) -> Result<(), ExitCode> {
    telemetry::log::init(log).map_err(|error| {
        eprintln!("sluicegate: the log cannot start: {error}");
        ExitCode::from(super::BAD_CONFIGURATION)
    })
}

/// The signals that stop the program, and the one that is ignored.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Registers the signal handlers, or prints why that is not possible.
pub(super) fn signals() -> Result<Signals, ExitCode> {
    let take = || {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    };
    take().map_err(|error: std::io::Error| {
        eprintln!("sluicegate: signals cannot be received: {error}");
        ExitCode::FAILURE
    })
}

/// Waits for the next signal that stops the program. SIGHUP does not stop it: the gateway, where there is one, reads its configuration
/// again.
pub(super) async fn wait(signals: &mut Signals, control: Option<&Arc<Control>>) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => match control {
                Some(control) => control.request_reload(),
                None => tracing::warn!("SIGHUP is ignored: there is nothing here to read again"),
            },
        }
    }
}
