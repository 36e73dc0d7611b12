//! The folder with a configuration and plugin files, as an operator changes them: written beside, and renamed into place.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sluicegate::builtin;
use sluicegate_tests::guest;
use tempfile::TempDir;

use crate::client::KEY;
use crate::gateway::{Gateway, TOKEN, free_addresses};
use crate::http::find;
use crate::model::Model;

/// A part of a message of `auth` in whose place another build has its number.
const AUTH_TEXT: &str = "Check it for typing errors";

/// What is configured.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The configuration of the stage `one`.
    pub(crate) mark: String,
    /// The stages, client side first.
    pub(crate) pipeline: &'static [&'static str],
    /// Whether the adapter is that for vLLM, in place of the built-in one for Ollama.
    pub(crate) vllm: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            mark: "c0".into(),
            pipeline: &["auth", "aggregate", "one"],
            vllm: false,
        }
    }
}

/// A folder, a model server and a gateway between them.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) model: Model,
    pub(crate) gateway: Gateway,
    addresses: [SocketAddr; 2],
}

impl Scene {
    /// Starts both with the first shape.
    ///
    /// # Errors
    /// If one does not start.
    pub(crate) async fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let model = Model::start().await?;
        let addresses = free_addresses()?;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one.wasm"), guest::marker(0))?;
        fs::write(at("others.wasm"), guest::marker(0))?;
        fs::write(at("auth.wasm"), auth(0)?)?;
        fs::copy(guest::VLLM, at("vllm.wasm"))?;
        let file = at("sluicegate.toml");
        fs::write(&file, toml(&Shape::default(), &model, addresses))?;
        let gateway = Gateway::start(program, &file, addresses).await?;
        Ok(Self {
            folder,
            model,
            gateway,
            addresses,
        })
    }

    /// Configures something else.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn configure(&self, shape: &Shape) -> anyhow::Result<()> {
        let text = toml(shape, &self.model, self.addresses);
        replace(&self.folder.path().join("sluicegate.toml"), text.as_bytes())
    }

    /// Replaces the file of the stage `one`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn replace_one(&self, build: u32) -> anyhow::Result<()> {
        replace(&self.folder.path().join("one.wasm"), &guest::marker(build))
    }

    /// Replaces the file of `auth`; gives what the message for a wrong key then has in it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn replace_auth(&self, build: u32) -> anyhow::Result<String> {
        replace(&self.folder.path().join("auth.wasm"), &auth(build)?)?;
        Ok(auth_text(build))
    }
}

/// As tools write that want to be safe.
fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    fs::write(&beside, content)?;
    fs::rename(&beside, path).with_context(|| path.display().to_string())
}

/// What a build has in place of a part of a message, of the same length.
fn auth_text(build: u32) -> String {
    format!("Check it, says build {build:05}")
}

/// The built-in `auth`, with another message for a wrong key.
fn auth(build: u32) -> anyhow::Result<Vec<u8>> {
    let mut component = builtin::PLUGINS.find("auth")?.to_vec();
    let text = auth_text(build);
    ensure!(text.len() == AUTH_TEXT.len(), "another length");
    let place = find(&component, AUTH_TEXT.as_bytes()).context("the message of `auth`")?;
    component[place..][..text.len()].copy_from_slice(text.as_bytes());
    Ok(component)
}

fn toml(shape: &Shape, model: &Model, [clients, admin]: [SocketAddr; 2]) -> String {
    let Shape {
        mark,
        pipeline,
        vllm,
    } = shape;
    let target = model.address();
    let adapter = if *vllm {
        "./vllm.wasm"
    } else {
        "builtin:ollama"
    };
    format!(
        r#"
[admin]
listen = "{admin}"
token = "{TOKEN}"
[plugins]
cache = "./cache"
[state]
dir = "./state"
[swap]
rollback = "2s"
[[listener]]
listen = "{clients}"
[upstream.main]
adapter = "ollama"
targets = ["http://{target}"]
[plugin.ollama]
source = "{adapter}"
[plugin.auth]
source = "./auth.wasm"
config = {{ keys = [{{ name = "swaps", key = "{KEY}" }}] }}
[plugin.aggregate]
source = "builtin:aggregate"
[plugin.one]
source = "./one.wasm"
config = {{ mark = "{mark}" }}
[plugin.two]
source = "./others.wasm"
config = {{ mark = "two" }}
[plugin.three]
source = "./others.wasm"
config = {{ mark = "three" }}
[[route]]
path = "/v1/chat/completions"
pipeline = {pipeline:?}
upstream = "main"
"#
    )
}
