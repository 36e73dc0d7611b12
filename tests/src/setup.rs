//! Builds configurations from the parts that a test needs.

use std::fmt::Write as _;

use crate::{Gateway, Upstream, guest};

/// Builds a configuration with a listener, an admin interface and one upstream named `ollama`. Values are TOML.
#[derive(Debug, Clone)]
pub struct Setup {
    upstream_url: String,
    server: String,
    limits: String,
    listener: String,
    upstream: String,
    /// The plugin that is the upstream's adapter, or "".
    adapter: String,
    sections: String,
}

impl Setup {
    /// Only the model server.
    pub fn before(upstream: &Upstream) -> Self {
        Self::before_url(&upstream.url())
    }

    /// As [`Setup::before`], for a model server of which the test knows only the address.
    pub fn before_url(url: &str) -> Self {
        Self {
            upstream_url: url.to_owned(),
            server: String::new(),
            limits: String::new(),
            listener: String::new(),
            upstream: String::new(),
            adapter: String::new(),
            sections: String::new(),
        }
    }

    /// As [`Setup::before`], with several targets in one upstream.
    pub fn before_urls(urls: &[String]) -> Self {
        Self::before_url(&urls.join("\", \""))
    }

    /// Adds sections as they are.
    #[must_use]
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Adds a line to `[server]`.
    #[must_use]
    pub fn server(self, line: &str) -> Self {
        Self {
            server: self.server + line + "\n",
            ..self
        }
    }

    /// Adds a line to `[server.limits]`.
    #[must_use]
    pub fn limit(self, line: &str) -> Self {
        Self {
            limits: self.limits + line + "\n",
            ..self
        }
    }

    /// Adds a line to the `[[listener]]`.
    #[must_use]
    pub fn listener(self, line: &str) -> Self {
        Self {
            listener: self.listener + line + "\n",
            ..self
        }
    }

    /// Adds a line to `[upstream.ollama]`.
    #[must_use]
    pub fn upstream(self, line: &str) -> Self {
        Self {
            upstream: self.upstream + line + "\n",
            ..self
        }
    }

    /// Gives `[upstream.ollama]` this plugin as its adapter.
    #[must_use]
    pub fn adapter(self, name: &str) -> Self {
        Self {
            adapter: name.to_owned(),
            ..self
        }
    }

    /// Adds a plugin; `lines` is the rest of its section.
    #[must_use]
    pub fn plugin(mut self, name: &str, source: &str, lines: &str) -> Self {
        let _ = writeln!(
            self.sections,
            "[plugin.{name}]\nsource = {source:?}\n{lines}"
        );
        self
    }

    /// Adds the stages of the usual chat pipeline, `auth` and `aggregate`, and the adapter `ollama`, without routes; `keys` are
    /// TOML tables.
    #[must_use]
    pub fn stages(self, keys: &str, ollama: &str) -> Self {
        self.adapter("ollama")
            .plugin(
                "auth",
                "builtin:auth",
                &format!("config = {{ keys = [{keys}] }}"),
            )
            .plugin("aggregate", "builtin:aggregate", "")
            .plugin(
                "ollama",
                "builtin:ollama",
                &format!("config = {{ {ollama} }}"),
            )
            .plugin("access-log", "builtin:access-log", "")
            .plugin("observer", guest::OBSERVER, "")
    }

    /// Adds the usual chat pipeline and its routes, open to everybody, watched by `access-log` and the guest observer.
    #[must_use]
    pub fn chat(self) -> Self {
        self.chat_with("", "")
    }

    /// As [`Setup::chat`], with these keys (TOML tables) and this configuration of `ollama` (members of a TOML table).
    #[must_use]
    pub fn chat_with(self, keys: &str, ollama: &str) -> Self {
        self.stages(keys, ollama).chat_routes()
    }

    /// Adds the usual stages, and the route of chats whose fallback is another Ollama, the upstream `spare`.
    #[must_use]
    pub fn chat_with_spare(self, spare: &Upstream) -> Self {
        let url = spare.url();
        self.section(&format!(
            "[upstream.spare]\nadapter = \"ollama\"\ntargets = [\"{url}\"]"
        ))
        .stages("", "")
        .route(
            "/v1/chat/completions",
            r#"["auth", "aggregate"]"#,
            "fallback = [\"spare\"]",
        )
    }

    /// Adds the usual routes.
    #[must_use]
    pub fn chat_routes(self) -> Self {
        let models = r#"["auth"]"#;
        let observers = r#"observers = ["access-log", "observer"]"#;
        let get = &format!("methods = [\"GET\"]\n{observers}");
        self.route(
            "/v1/chat/completions",
            r#"["auth", "aggregate"]"#,
            &format!("methods = [\"POST\"]\n{observers}"),
        )
        .route("/v1/models", models, get)
        .route("/v1/models/*", models, get)
    }

    /// Adds a route with this pipeline; `lines` is the rest of its section.
    #[must_use]
    pub fn route(mut self, path: &str, pipeline: &str, lines: &str) -> Self {
        let _ = writeln!(
            self.sections,
            "[[route]]\npath = {path:?}\npipeline = {pipeline}\nupstream = \"ollama\"\n{lines}"
        );
        self
    }

    /// The guest filter alone on all paths, watched by the guest observer: it does as the request says.
    #[must_use]
    pub fn filter(self) -> Self {
        self.guest(guest::FILTER, "limits = { output = \"1MiB\" }")
    }

    /// A guest alone on all paths, under the name `guest`, watched by the guest observer.
    #[must_use]
    pub fn guest(self, source: &str, lines: &str) -> Self {
        self.plugin("guest", source, lines)
            .plugin("observer", guest::OBSERVER, "")
            .route("/*", r#"["guest"]"#, r#"observers = ["observer"]"#)
    }

    /// The configuration.
    pub fn toml(&self) -> String {
        let Self {
            upstream_url,
            server,
            limits,
            listener,
            upstream,
            adapter,
            sections,
        } = self;
        // Tests name the host as they like, unless they are about that.
        let hosts = if listener.contains("hosts") {
            ""
        } else {
            "hosts = [\"*\"]"
        };
        let adapter = match adapter.as_str() {
            "" => String::new(),
            name => format!("adapter = {name:?}"),
        };
        format!(
            r#"
[server]
{server}
[server.limits]
{limits}
[admin]
listen = "127.0.0.1:0"
[[listener]]
listen = "127.0.0.1:0"
{listener}
{hosts}
[upstream.ollama]
targets = ["{upstream_url}"]
{adapter}
{upstream}
{sections}"#
        )
    }

    /// Starts the gateway.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(&self) -> Gateway {
        match self.try_start().await {
            Ok(gateway) => gateway,
            Err(error) => panic!("{error:#}\n{}", self.toml()),
        }
    }

    /// Starts the gateway, if it can.
    ///
    /// # Errors
    /// What the gateway itself says.
    pub async fn try_start(&self) -> anyhow::Result<Gateway> {
        Gateway::start(&self.toml()).await
    }
}
