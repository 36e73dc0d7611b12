//! The gateway in the test's own process, on ports that the system chose.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use sluicegate::builtin;
use sluicegate_config as config;
use sluicegate_gateway::lifecycle;
use sluicegate_gateway::reload::Origin;
use sluicegate_gateway::supply::{Lookups, Supply};
use sluicegate_plugin_host::{Engine, Loader};

use crate::remembering::Remembering;
use crate::{Client, Upstream, logs, within};

/// A running gateway. [`Gateway::shutdown`] ends it in order.
pub struct Gateway {
    inner: lifecycle::Gateway,
}

impl Gateway {
    /// Starts a gateway with this configuration; see [`configuration`] for the usual one.
    ///
    /// # Errors
    /// What the gateway itself says: problems of the configuration, plugins that do not load.
    pub async fn start(configuration: &str) -> anyhow::Result<Self> {
        Self::start_on(configuration, loader()).await
    }

    /// As [`Gateway::start`], with an engine of the test's own.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_on(configuration: &str, loader: &Loader) -> anyhow::Result<Self> {
        Self::start_with(configuration, &|_| None, loader).await
    }

    /// As [`Gateway::start`], with an environment.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_in(
        configuration: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        Self::start_with(configuration, env, loader()).await
    }

    async fn start_with(
        configuration: &str,
        env: &dyn Fn(&str) -> Option<String>,
        loader: &Loader,
    ) -> anyhow::Result<Self> {
        logs::capture();
        let config = config::parse(configuration, Path::new("."), env)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let inner =
            lifecycle::Gateway::start(Origin::fixed(config), loader, builtin::PLUGINS).await?;
        Ok(Self { inner })
    }

    /// As [`Gateway::start`], with a resolver of the test's own.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_resolving(configuration: &str, lookups: Lookups) -> anyhow::Result<Self> {
        logs::capture();
        let config = config::parse(configuration, Path::new("."), &|_| None)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let supply = Supply {
            lookups,
            ..Supply::new(loader(), builtin::PLUGINS, config.folders.state.as_deref())
        };
        let inner = lifecycle::Gateway::start_with(Origin::fixed(config), supply).await?;
        Ok(Self { inner })
    }

    /// Starts a gateway from a file, which is watched.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_from(file: &Path) -> anyhow::Result<Self> {
        logs::capture();
        let file = file.to_owned();
        let read = move || config::load_with_files(Some(&file), &|_| None);
        let origin = Origin::read(Arc::new(read));
        let origin = origin.map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let inner = lifecycle::Gateway::start(origin, loader(), builtin::PLUGINS).await?;
        Ok(Self { inner })
    }

    /// Starts a gateway with the usual configuration in front of this model server, open to everybody.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn before(upstream: &Upstream) -> Self {
        Self::start(&configuration(&upstream.url(), &[]))
            .await
            .expect("the usual configuration is legal")
    }

    /// Where the proxy listens.
    ///
    /// # Panics
    /// If the configuration has no listener.
    pub fn address(&self) -> SocketAddr {
        let addresses = self.inner.addresses();
        *addresses.first().expect("the configuration has a listener")
    }

    /// A client of the proxy.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// A client of the admin interface.
    ///
    /// # Panics
    /// If the configuration has none.
    pub fn admin(&self) -> Client {
        Client::new(self.admin_address())
    }

    /// Where the admin interface listens.
    ///
    /// # Panics
    /// If the configuration has none.
    pub fn admin_address(&self) -> SocketAddr {
        self.inner.admin().expect("the configuration has `[admin]`")
    }

    /// The value of a metric, with its labels as in `name{label="value"}`; 0 where there is none yet.
    ///
    /// # Panics
    /// If the configuration has no `[admin]`, or the value is no number.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin().get("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    /// The gateway itself.
    pub fn running(&self) -> &lifecycle::Gateway {
        &self.inner
    }

    /// Cuts what is still running, as a second signal does; also in the middle of [`Gateway::shutdown`].
    pub fn cutter(&self) -> impl FnOnce() + Send + 'static {
        let cut = self.inner.cut();
        move || cut.cancel()
    }

    /// Ends the gateway in order, as SIGTERM does.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub async fn shutdown(self) {
        within("the end of the gateway", self.inner.shutdown()).await;
    }
}

/// The usual configuration: the chat and model routes through `auth`, `aggregate` and `ollama` to one model server.
/// Each of `keys` is the key of a client with the same name; none means that everybody may ask.
pub fn configuration(upstream_url: &str, keys: &[&str]) -> String {
    let mut list = String::new();
    for key in keys {
        let _ = write!(list, "{{ name = \"{key}\", key = \"{key}\" }}, ");
    }
    format!(
        r#"
[server]
drain-timeout = "5s"

[admin]
listen = "127.0.0.1:0"

[[listener]]
listen = "127.0.0.1:0"

[upstream.ollama]
targets = ["{upstream_url}"]
adapter = "ollama"

[plugin.auth]
source = "builtin:auth"
[plugin.auth.config]
keys = [{list}]

[plugin.aggregate]
source = "builtin:aggregate"

[plugin.ollama]
source = "builtin:ollama"

[plugin.access-log]
source = "builtin:access-log"

[[route]]
path = "/v1/chat/completions"
methods = ["POST"]
pipeline = ["auth", "aggregate"]
observers = ["access-log"]
upstream = "ollama"

[[route]]
path = "/v1/models"
methods = ["GET"]
pipeline = ["auth"]
observers = ["access-log"]
upstream = "ollama"

[[route]]
path = "/v1/models/*"
methods = ["GET"]
pipeline = ["auth"]
observers = ["access-log"]
upstream = "ollama"
"#
    )
}

/// One engine for all tests of a process: it reserves address space.
///
/// # Panics
/// If the machine cannot have one.
pub fn engine() -> &'static Engine {
    loader().engine()
}

/// The loader for that engine, through which tests share compiled plugins.
///
/// # Panics
/// As [`engine`].
pub fn loader() -> &'static Loader {
    static LOADER: OnceLock<Loader> = OnceLock::new();
    LOADER.get_or_init(|| {
        let engine = Engine::new()
            .context("the WebAssembly engine")
            .expect("the engine starts on every supported machine");
        Loader::with_compiler(engine, Arc::new(Remembering::default()))
    })
}
