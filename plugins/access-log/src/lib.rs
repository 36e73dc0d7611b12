//! The `access-log` observer: writes one structured log line for each exchange.
//!
//! This file only connects it to the gateway; [`mod@line`] makes the lines.

use serde::Deserialize;
use sluicegate_plugin::{Manifest, Observer, Plugin, Summary};

pub mod line;

use line::Field;

/// The configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    fields: Option<Vec<Field>>,
    skip_paths: Vec<String>,
}

/// The observer.
#[derive(Debug)]
pub struct AccessLog {
    fields: Vec<Field>,
    skip_paths: Vec<String>,
}

impl Plugin for AccessLog {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new(
            "access-log",
            env!("CARGO_PKG_VERSION"),
            "One log line for each exchange",
        )
        .config(include_str!("config.schema.json"))
        .transforms(false)
    }

    fn configure(config: Config) -> Result<Self, String> {
        let fields = config.fields.unwrap_or_else(|| Field::ALL.to_vec());
        if fields.is_empty() {
            return Err("`fields` must name at least one field".to_owned());
        }
        Ok(Self {
            fields,
            skip_paths: config.skip_paths,
        })
    }
}

impl Observer for AccessLog {
    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            if !line::is_uneventful(summary) || !self.skip_paths.contains(&summary.path) {
                line::of(summary, &self.fields).write();
            }
        }
    }
}

sluicegate_plugin::export!(AccessLog: observer);

#[cfg(test)]
mod tests;
