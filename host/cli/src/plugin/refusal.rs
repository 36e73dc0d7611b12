//! Why a component cannot be used: at which stage of loading, the reason, and what to mend.

use serde_json::{Value, json};

use sluicegate_plugin_host::{load, manifest};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) stage: &'static str,
    pub(super) reason: String,
    pub(super) mend: &'static str,
}

impl Refusal {
    /// The refusal of what cannot even be read.
    pub(super) fn unread(reason: String) -> Self {
        Self {
            stage: "read",
            reason,
            mend: "give the path of a component, or builtin:NAME",
        }
    }

    pub(super) fn of(error: &load::Error) -> Self {
        let (stage, mend) = stage_and_mend(error);
        Self {
            stage,
            reason: error.to_string(),
            mend,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"stage": self.stage, "reason": self.reason, "mend": self.mend})
    }

    /// Prints it for a person.
    pub(super) fn print(&self, file: &std::path::Path) {
        eprintln!(
            "error: {} is refused at the stage `{}`: {}\n    → {}",
            file.display(),
            self.stage,
            self.reason,
            self.mend
        );
    }
}

fn stage_and_mend(error: &load::Error) -> (&'static str, &'static str) {
    match error {
        load::Error::CoreModule | load::Error::NotWasm(_) => (
            "format",
            "build a component: `cargo build --release --target wasm32-wasip2`",
        ),
        load::Error::TooLarge(_) => (
            "size",
            "build with optimisation, strip debug information, and leave out what is not needed",
        ),
        load::Error::Invalid(_) => (
            "compile",
            "rebuild the component; if it was cut short or altered, copy it again",
        ),
        // Only a gateway that serves compiles in another process.
        load::Error::Compiler(_) => ("compile", "see the reason"),
        load::Error::Exports(_) | load::Error::Contract(_) => (
            "contract",
            "build it against the contract that `sluicegate wit` prints",
        ),
        load::Error::Guest { function, .. } => match &**function {
            "start" => (
                "start",
                "fix what runs before any function of the plugin is called",
            ),
            "describe" => ("describe", "fix `describe`: it must return the manifest"),
            "configure" => (
                "configure",
                "fix `configure`: it must return, with an error if it has to",
            ),
            _ => (
                "trial",
                "fix the function: it must handle a request without credentials and without a body",
            ),
        },
        load::Error::Manifest(
            manifest::Error::Unreadable(_)
            | manifest::Error::FrontAndAdapter
            | manifest::Error::TooLarge(_)
            | manifest::Error::BadSchema(_),
        ) => ("manifest", "fix what `describe` returns"),
        load::Error::Manifest(manifest::Error::Schema(_)) => (
            "configuration",
            "correct the configuration, or the schema in the manifest",
        ),
        load::Error::Limit(_) => ("limits", "correct `limits` in the manifest"),
        load::Error::Refused(_) => (
            "configure",
            "mend the configuration: the reason is the plugin's own",
        ),
        load::Error::OpenTransformer => ("on-fault", "leave `on-fault` at \"closed\""),
    }
}
