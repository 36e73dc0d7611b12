//! The manifest: what a plugin says about itself.

use crate::json;

/// What a plugin says about itself; `sluicegate plugin inspect` shows it, and the gateway acts on it.
#[derive(Clone, Debug)]
pub struct Manifest {
    name: &'static str,
    version: &'static str,
    summary: &'static str,
    config: Option<&'static str>,
    phases: Phases,
    response_if: Option<(&'static str, &'static str)>,
    transforms: bool,
}

/// Which halves of an exchange a filter takes part in. The other half never enters the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Request and response.
    Both,
    /// Only the request phases.
    Request,
    /// Only the response phases.
    Response,
}

impl Manifest {
    /// A manifest with a name, a version (usually `env!("CARGO_PKG_VERSION")`) and one line of summary.
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            version,
            summary,
            config: None,
            phases: Phases::Both,
            response_if: None,
            transforms: true,
        }
    }

    /// The JSON Schema of the configuration, as JSON text. Without one the gateway accepts only an empty configuration.
    #[must_use]
    pub const fn config(mut self, schema: &'static str) -> Self {
        self.config = Some(schema);
        self
    }

    /// Which halves of an exchange the filter takes part in; both where this is not called.
    #[must_use]
    pub const fn phases(mut self, phases: Phases) -> Self {
        self.phases = phases;
        self
    }

    /// Runs the filter's response phases only in exchanges in which this note has this value, given as JSON text; in all where
    /// this is not called. The gateway looks before it makes an instance.
    #[must_use]
    pub const fn response_if(mut self, note: &'static str, json: &'static str) -> Self {
        self.response_if = Some((note, json));
        self
    }

    /// Says whether the plugin ever changes a body; `true` where this is not called. Only a stage that never does may be
    /// configured to fail open.
    #[must_use]
    pub const fn transforms(mut self, transforms: bool) -> Self {
        self.transforms = transforms;
        self
    }

    /// The manifest as the JSON text that `describe` answers.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"name\":");
        json::push_str(&mut out, self.name);
        out.extend_from_slice(b",\"version\":");
        json::push_str(&mut out, self.version);
        out.extend_from_slice(b",\"summary\":");
        json::push_str(&mut out, self.summary);
        if let Some(schema) = self.config {
            out.extend_from_slice(b",\"config\":");
            out.extend_from_slice(schema.trim().as_bytes());
        }
        out.extend_from_slice(match self.phases {
            Phases::Both => b",\"phases\":[\"request\",\"response\"]".as_slice(),
            Phases::Request => b",\"phases\":[\"request\"]",
            Phases::Response => b",\"phases\":[\"response\"]",
        });
        if let Some((note, json)) = self.response_if {
            out.extend_from_slice(b",\"response-if\":{");
            json::push_str(&mut out, note);
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
            out.push(b'}');
        }
        if !self.transforms {
            out.extend_from_slice(b",\"transforms\":false");
        }
        out.push(b'}');
        String::from_utf8(out).expect("the parts are text")
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn takes_part_in(&self, half: Phases) -> bool {
        self.phases == Phases::Both || self.phases == half
    }

    /// Whether the response phases run in an exchange with these notes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wants_response(&self, note: impl Fn(&str) -> Option<String>) -> bool {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        self.takes_part_in(Phases::Response)
            && self.response_if.is_none_or(|(name, wanted)| {
                let have = note(name).as_deref().and_then(value);
                have.is_some() && have == value(wanted)
            })
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn accepts_config(&self) -> bool {
        self.config.is_some()
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn changes_bodies(&self) -> bool {
        self.transforms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_is_json_with_the_schema_as_given() {
        let text = Manifest::new("a", "1.0.0", "says \"hi\"")
            .config("{ \"type\": \"object\" }\n")
            .phases(Phases::Response)
            .response_if("stream", "false")
            .transforms(false)
            .to_json();
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "name": "a", "version": "1.0.0", "summary": "says \"hi\"",
                "config": {"type": "object"}, "phases": ["response"],
                "response-if": {"stream": false}, "transforms": false
            })
        );
    }

    #[test]
    fn absent_schema_and_defaults_are_left_out() {
        let text = Manifest::new("a", "1", "s").to_json();
        assert_eq!(
            text,
            r#"{"name":"a","version":"1","summary":"s","phases":["request","response"]}"#
        );
    }
}
