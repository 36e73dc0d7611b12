//! What of a configuration cannot change while the process runs.

use std::net::SocketAddr;

use sluicegate_config::{self as config, Config, Problem};

/// The parts of a configuration that need a restart.
#[derive(PartialEq)]
pub(super) struct Fixed {
    admin: Option<SocketAddr>,
    chat: Option<config::Chat>,
    format: config::LogFormat,
    otlp: Option<config::Otlp>,
    folders: config::Folders,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            admin: config.admin.as_ref().map(|admin| admin.listen),
            chat: config.chat.clone(),
            format: config.log.format,
            otlp: config.otlp.clone(),
            folders: config.folders.clone(),
        }
    }

    /// What of a configuration would need a restart.
    pub(super) fn check(&self, config: &Config) -> Vec<Problem> {
        let other = Self::of(config);
        let changed = [
            ("admin.listen", self.admin != other.admin),
            ("chat", self.chat != other.chat),
            ("log.format", self.format != other.format),
            ("otlp", self.otlp != other.otlp),
            ("plugins.cache", self.folders.cache != other.folders.cache),
            ("state.dir", self.folders.state != other.folders.state),
            ("state.url", self.folders.shared != other.folders.shared),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| Problem {
                key: key.into(),
                line: None,
                message: "has changed, which needs a restart".into(),
                mend: "restart the gateway, or undo this change so that the others can be applied"
                    .into(),
            })
            .collect()
    }
}
