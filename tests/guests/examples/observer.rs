//! An observer that tells the log all that it sees, and does as a note says.

use sluicegate_guests::{Config, perform};
use sluicegate_plugin::{Manifest, Observer, Plugin, Summary, log};

struct Guest;

impl Plugin for Guest {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-observer", "1.2.3", "Tells the log all that it sees")
            .config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        Ok(Self)
    }
}

impl Observer for Guest {
    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            tell(summary);
        }
        for summary in batch {
            perform(&summary.fact::<String>("observer").unwrap_or_default());
        }
    }
}

fn tell(summary: &Summary) {
    let mut line = log::info("seen")
        .field("seen", &summary.id)
        .field("route", &summary.route)
        .field("method", &summary.method)
        .field("path", &summary.path)
        .field("client", &summary.client)
        .field("status", &summary.status)
        .field("error", &summary.error)
        .field("upstream", &summary.upstream)
        .field("to", &summary.target)
        .field("attempts", &summary.attempts)
        .field("request_bytes", &summary.request_bytes)
        .field("response_bytes", &summary.response_bytes)
        .field("events", &summary.events)
        .field("duration_us", &summary.duration_us)
        .field("first_byte_us", &summary.first_byte_us)
        .field("overhead_us", &summary.overhead_us);
    for (name, json) in &summary.facts {
        line = line.json(&format!("note_{name}"), json);
    }
    line.write();
}

sluicegate_plugin::export!(Guest: observer);
