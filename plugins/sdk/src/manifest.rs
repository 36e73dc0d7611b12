//! The manifest: what a plugin says about itself.

use crate::json;

/// What a plugin says about itself; `sluicegate plugin inspect` shows it, and the gateway acts on it.
#[derive(Clone, Debug)]
pub struct Manifest {
    name: &'static str,
    version: &'static str,
    summary: &'static str,
    config: Option<&'static str>,
    response_if: Option<(&'static str, &'static str)>,
    transforms: bool,
    authenticates: bool,
    front: Option<&'static str>,
    early_head: bool,
    adapter: Adapter,
    memory: Option<&'static str>,
    cpu: Option<&'static str>,
    requires: &'static [&'static str],
}

/// What an adapter says about its model servers.
#[derive(Clone, Copy, Debug, Default)]
struct Adapter {
    vendor: Option<&'static str>,
    health: Option<&'static str>,
    info: Option<&'static str>,
}

impl Manifest {
    /// A manifest with a name, a version (usually `env!("CARGO_PKG_VERSION")`) and a summary of one line.
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            version,
            summary,
            config: None,
            response_if: None,
            transforms: true,
            authenticates: false,
            front: None,
            early_head: true,
            adapter: Adapter {
                vendor: None,
                health: None,
                info: None,
            },
            memory: None,
            cpu: None,
            requires: &[],
        }
    }

    /// The JSON Schema of the configuration, as JSON text. Without one the gateway accepts only an empty configuration.
    #[must_use]
    pub const fn config(mut self, schema: &'static str) -> Self {
        self.config = Some(schema);
        self
    }

    /// Makes the JSON Schema of the configuration from its type: doc comments become descriptions, and a member without
    /// `#[serde(default)]` is required. It runs in `describe` only, once when the plugin is loaded.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use sluicegate_plugin::{JsonSchema, Manifest, schemars};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[schemars(crate = "schemars")]
    /// #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    /// struct Config {
    ///     /// The word that clients must not see.
    ///     #[schemars(length(min = 1))]
    ///     word: String,
    ///     /// What stands in its place. Default: nothing.
    ///     #[serde(default)]
    ///     replaced_by: String,
    /// }
    /// let manifest = Manifest::new("words", "0.1.0", "Replaces a word").schema::<Config>();
    /// let manifest: serde_json::Value = serde_json::from_str(&manifest.to_json()).unwrap();
    /// assert_eq!(manifest["config"], serde_json::json!({
    ///     "type": "object",
    ///     "additionalProperties": false,
    ///     "required": ["word"],
    ///     "properties": {
    ///         "word": {"type": "string", "minLength": 1, "description": "The word that clients must not see."},
    ///         "replaced-by": {"type": "string", "default": "", "description": "What stands in its place. Default: nothing."},
    ///     },
    /// }));
    /// ```
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn schema<T: schemars::JsonSchema>(self) -> Self {
        let mut settings = schemars::generate::SchemaSettings::draft2020_12();
        settings.meta_schema = None;
        settings.inline_subschemas = true;
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        // The name of the type says nothing to an operator.
        schema.remove("title");
        // Kept for as long as the plugin is loaded: a manifest is made once.
        self.config(schema.as_value().to_string().leak())
    }

    /// Runs `response`, `chunks` and `events` only in exchanges in which this note has this value, given as JSON text; by
    /// default in all. The gateway checks it before it makes an instance.
    #[must_use]
    pub const fn response_if(mut self, note: &'static str, json: &'static str) -> Self {
        self.response_if = Some((note, json));
        self
    }

    /// Says whether the plugin ever changes a body; `true` by default. Only a stage that never does may be configured to fail
    /// open.
    #[must_use]
    pub const fn transforms(mut self, transforms: bool) -> Self {
        self.transforms = transforms;
        self
    }

    /// Says whether [`Gate::check`](crate::Gate::check) refuses every request without credentials, with status 401 or 403;
    /// `false` by default. A listener off loopback needs such a gate on every route, unless it is configured as open. The
    /// gateway relies on it only if the configured plugin refuses a trial request.
    #[must_use]
    pub const fn authenticates(mut self, authenticates: bool) -> Self {
        self.authenticates = authenticates;
        self
    }

    /// Says that the plugin is a front: it translates this client dialect, such as `"anthropic"`, and is the first stage of its
    /// route. It renders every error of the route, including its own faults; see [`ResponseStage`](crate::ResponseStage).
    #[must_use]
    pub const fn front(mut self, dialect: &'static str) -> Self {
        self.front = Some(dialect);
        self
    }

    /// Says whether a response head may be sent before there is a response; `true` by default.
    #[must_use]
    pub const fn early_head(mut self, early_head: bool) -> Self {
        self.early_head = early_head;
        self
    }

    /// Suggests limits, used if the configuration sets none: the memory of an instance, such as `"192MiB"` (at most 256 MiB),
    /// and the CPU time of a call, such as `"500ms"` (at most 10 s).
    #[must_use]
    pub const fn limits(mut self, memory: &'static str, cpu: &'static str) -> Self {
        self.memory = Some(memory);
        self.cpu = Some(cpu);
        self
    }

    /// Names the capabilities without which the plugin is of no use, such as `&["http"]`: it is not loaded unless the
    /// configuration grants them.
    #[must_use]
    pub const fn requires(mut self, capabilities: &'static [&'static str]) -> Self {
        self.requires = capabilities;
        self
    }

    /// Says that the plugin is an adapter for this kind of model server, such as `"ollama"`: it belongs to an upstream instead
    /// of a pipeline.
    #[must_use]
    pub const fn adapter(mut self, vendor: &'static str) -> Self {
        self.adapter.vendor = Some(vendor);
        self
    }

    /// The path for health checks. Only for adapters.
    #[must_use]
    pub const fn health(mut self, path: &'static str) -> Self {
        self.adapter.health = Some(path);
        self
    }

    /// The path that the gateway requests for [`Context::upstream_info`](crate::Context::upstream_info). Only for adapters.
    #[must_use]
    pub const fn info(mut self, path: &'static str) -> Self {
        self.adapter.info = Some(path);
        self
    }

    /// The manifest as the JSON text that `describe` returns.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push('{');
        push(&mut out, "name", self.name);
        push(&mut out, "version", self.version);
        push(&mut out, "summary", self.summary);
        if let Some(schema) = self.config {
            out.push_str(",\"config\":");
            out.push_str(schema.trim());
        }
        if let Some((note, json)) = self.response_if {
            out.push_str(",\"response-if\":{");
            json::push_str(&mut out, note);
            out.push(':');
            out.push_str(json);
            out.push('}');
        }
        if !self.transforms {
            out.push_str(",\"transforms\":false");
        }
        if self.authenticates {
            out.push_str(",\"authenticates\":true");
        }
        if let Some(dialect) = self.front {
            push(&mut out, "front", dialect);
        }
        if !self.early_head {
            out.push_str(",\"early-head\":false");
        }
        if let Some(vendor) = self.adapter.vendor {
            out.push_str(",\"adapter\":{");
            push(&mut out, "vendor", vendor);
            for (name, path) in [("health", self.adapter.health), ("info", self.adapter.info)] {
                if let Some(path) = path {
                    push(&mut out, name, path);
                }
            }
            out.push('}');
        }
        if self.memory.is_some() || self.cpu.is_some() {
            out.push_str(",\"limits\":{");
            for (name, limit) in [("memory", self.memory), ("cpu", self.cpu)] {
                if let Some(limit) = limit {
                    push(&mut out, name, limit);
                }
            }
            out.push('}');
        }
        if !self.requires.is_empty() {
            out.push_str(",\"requires\":[");
            for (index, name) in self.requires.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json::push_str(&mut out, name);
            }
            out.push(']');
        }
        out.push('}');
        out
    }
}

/// Appends a member of an object: a name, which needs no escapes, and a text.
fn push(out: &mut String, name: &str, text: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    json::push_str(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_is_json_with_the_schema_as_given() {
        const MANIFEST: Manifest = Manifest::new("a", "1.0.0", "says \"hi\"")
            .config("{ \"type\": \"object\" }\n")
            .response_if("stream", "false")
            .transforms(false)
            .front("anthropic")
            .early_head(false);
        let value: serde_json::Value = serde_json::from_str(&MANIFEST.to_json()).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "name": "a", "version": "1.0.0", "summary": "says \"hi\"",
                "config": {"type": "object"}, "response-if": {"stream": false}, "transforms": false,
                "front": "anthropic", "early-head": false
            })
        );
    }

    #[test]
    fn absent_schema_and_defaults_are_left_out() {
        let text = Manifest::new("a", "1", "s").health("/x").to_json();
        assert_eq!(text, r#"{"name":"a","version":"1","summary":"s"}"#);
    }

    #[test]
    fn the_gateway_reads_an_adapter_as_it_is_written() {
        let text = Manifest::new("a", "1", "s")
            .health("/health")
            .adapter("tgi")
            .limits("64MiB", "1s")
            .requires(&["http", "kv"])
            .to_json();
        let manifest = sluicegate_contract::Manifest::parse(&text).expect("a manifest");
        let adapter = manifest.adapter.expect("an adapter");
        assert_eq!((&*adapter.vendor, adapter.info), ("tgi", None));
        assert_eq!(adapter.health.as_deref(), Some("/health"));
        assert_eq!(manifest.limits.memory.as_deref(), Some("64MiB"));
        assert_eq!(manifest.limits.cpu.as_deref(), Some("1s"));
        assert_eq!(manifest.requires, ["http", "kv"]);
        assert!(manifest.transforms && manifest.early_head && manifest.front.is_none());
    }
}
