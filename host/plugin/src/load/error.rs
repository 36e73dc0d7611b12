//! Why a plugin cannot be loaded.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::compile::child::error::Error as ChildError;
use crate::toolchain::Toolchain;
use crate::{advice, contract, grants, limits, manifest, size};

/// Why a plugin cannot be loaded. Each message says what to mend.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The file is a core module, not a component.
    #[error(
        "this is a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap it with wit-component"
    )]
    CoreModule,
    /// The file is not WebAssembly at all.
    #[error(
        "this is not WebAssembly: it begins with {0:02x?}, a component begins with [00, 61, 73, 6d, 0d, 00, 01, 00]"
    )]
    NotWasm(Vec<u8>),
    /// It would take too much to compile it.
    #[error(transparent)]
    TooLarge(#[from] size::TooLarge),
    /// The engine does not accept the component.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Its imports or exports are not those of a plugin.
    #[error(transparent)]
    Exports(#[from] contract::Error),
    /// An export is missing or has other types than the contract says.
    #[error("the component does not follow the contract: {0}")]
    Contract(String),
    /// `describe` or `configure` failed inside.
    #[error("`{function}` failed: {source}")]
    Guest {
        /// The function that was called.
        function: Cow<'static, str>,
        /// What the guest did.
        source: crate::Error,
    },
    /// The manifest cannot be used, or the configuration does not fit it.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The manifest suggests a limit that cannot be used.
    #[error(transparent)]
    #[serde(skip)]
    Limit(#[from] limits::Error),
    /// It requires a capability that it is not granted.
    #[error(transparent)]
    #[serde(skip)]
    Grant(#[from] grants::Error),
    /// `configure` refused the configuration; the text is the plugin's.
    #[error("the plugin refuses its configuration: {0}")]
    Refused(String),
    /// `on-fault = "open"` on a plugin that changes bodies.
    #[error(
        "`on-fault = \"open\"` is only for plugins whose manifest says `\"transforms\": false`; this one may change bodies"
    )]
    OpenTransformer,
    /// The process that compiles it did not get to an end.
    #[error(transparent)]
    #[serde(skip)]
    Compiler(#[from] ChildError),
}

impl Error {
    /// The stage of loading that the plugin did not pass: one of `format`, `size`, `compile`, `contract`, `start`, `describe`,
    /// `manifest`, `configuration`, `configure`, `limits`, `on-fault`, `grant` and `trial`.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self {
            Self::CoreModule | Self::NotWasm(_) => "format",
            Self::TooLarge(_) => "size",
            Self::Invalid(_) | Self::Compiler(_) => "compile",
            Self::Exports(_) | Self::Contract(_) => "contract",
            Self::Guest { function, .. } => match &**function {
                "start" => "start",
                "describe" => "describe",
                "configure" => "configure",
                _ => "trial",
            },
            Self::Manifest(manifest::Error::Schema(_)) => "configuration",
            Self::Manifest(_) => "manifest",
            Self::Limit(_) => "limits",
            Self::Refused(_) => "configure",
            Self::Grant(_) => "grant",
            Self::OpenTransformer => "on-fault",
        }
    }

    /// What to do about it, for the author of a component that was made by these tools.
    #[must_use]
    pub fn mend(&self, toolchain: Toolchain) -> Cow<'static, str> {
        match self {
            Self::CoreModule | Self::NotWasm(_) => advice::on_format(toolchain).into(),
            Self::TooLarge(_) => {
                "build with optimisation, strip debug information, and leave out what is not needed"
                    .into()
            }
            Self::Invalid(_) => {
                "rebuild the component; if it was cut short or altered, copy it again".into()
            }
            // Only a gateway that serves compiles in another process.
            Self::Compiler(_) => "see the reason".into(),
            Self::Exports(contract::Error::NoPhases(_) | contract::Error::LonelyChunks) => {
                advice::on_exports(toolchain).into()
            }
            Self::Exports(contract::Error::Import(_)) => {
                "leave out what imports it: files, sockets and the environment are not there for plugins".into()
            }
            Self::Exports(contract::Error::Version { .. }) | Self::Contract(_) => {
                advice::on_contract(toolchain).into()
            }
            Self::Guest { source, .. } if advice::is_limit(source) => {
                advice::on_failure(source, toolchain).into()
            }
            Self::Guest { function, .. } => match &**function {
                "start" => "fix what runs before any function of the plugin is called",
                "describe" => "fix `describe`: it must return the manifest",
                "configure" => "fix `configure`: it must return, with an error if it has to",
                _ => "fix the function: it must handle a request without credentials and without a body",
            }
            .into(),
            Self::Manifest(manifest::Error::Schema(_)) => {
                "correct the configuration, or the schema in the manifest".into()
            }
            Self::Manifest(
                manifest::Error::Unreadable(_)
                | manifest::Error::FrontAndAdapter
                | manifest::Error::TooLarge(_)
                | manifest::Error::BadSchema(_),
            ) => "fix what `describe` returns".into(),
            Self::Limit(_) => "correct `limits` in the manifest".into(),
            Self::Refused(_) => "mend the configuration: the reason is the plugin's own".into(),
            Self::Grant(grants::Error::Unknown(_)) => {
                "correct `requires` in the manifest".into()
            }
            Self::Grant(grants::Error::Missing { .. }) => {
                "grant it, or leave the plugin out".into()
            }
            Self::OpenTransformer => "leave `on-fault` at \"closed\"".into(),
        }
    }

    /// Whether the same component and the same configuration fail again, whatever the machine does meanwhile.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(
            self,
            Self::Compiler(ChildError::Start(_) | ChildError::Killed { .. })
        )
    }

    /// What the engine says of a component whose imports or exports have other types than the contract says.
    #[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
    pub(crate) fn contract(error: wasmtime::Error) -> Self {
        Self::Contract(format!("{error:#}"))
    }
}
