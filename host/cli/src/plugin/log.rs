//! What a component logs while a command runs it, on standard error.

use sluicegate_telemetry::log;

/// The gateway's explanations of failed calls.
const FAILURES: &str = "off,sluicegate::plugin::failure=warn";

/// Those, and all that the component logs itself.
const ALL: &str = "off,sluicegate::plugin=trace";

/// Shows explanations of failed calls, and with `all` what the component logs.
pub(super) fn show(all: bool) {
    let level = if all { ALL } else { FAILURES };
    if let Err(error) = log::init_stderr(level) {
        eprintln!("sluicegate: the component's log is not shown: {error}");
    }
}

/// From now on shows the component's own lines or leaves them out.
pub(super) fn show_lines(all: bool) {
    let level = if all { ALL } else { FAILURES };
    if let Err(error) = log::set_level(level) {
        eprintln!("sluicegate: the component's log cannot be changed: {error}");
    }
}
