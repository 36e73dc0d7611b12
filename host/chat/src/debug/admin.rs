//! What the proxy's admin interface reports. All of it is optional: if the interface cannot be reached, asks for another token
//! or has another version, the card is only shorter.

use std::time::Duration;

use serde_json::Value;

use crate::core::Core;
use crate::wire::debug::LayerTime;

/// How long the admin interface may take: the card should show at once.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// The most items that are taken from a list.
const ITEMS: usize = 40;

/// The documents, all fetched at the same time.
#[derive(Debug, Default)]
pub(super) struct Admin {
    /// Status of `/readyz`.
    pub ready: Option<u16>,
    plugins: Value,
    upstreams: Value,
}

/// A model server as the proxy knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Host and port.
    pub address: String,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// Why it is down.
    pub reason: Option<String>,
    /// The model server's version.
    pub version: Option<String>,
    /// Models in its memory, if it reports them.
    pub loaded: Option<Vec<String>>,
}

impl Admin {
    /// Asks for all documents at once.
    pub(super) async fn ask(core: &Core) -> Self {
        let (ready, plugins, upstreams) = tokio::join!(
            get(core, "/readyz"),
            get(core, "/plugins"),
            get(core, "/upstreams")
        );
        let document = |response: Option<(u16, Value)>| match response {
            Some((200, value)) => value,
            Some(_) | None => Value::Null,
        };
        Self {
            ready: ready.map(|(status, _)| status),
            plugins: document(plugins),
            upstreams: document(upstreams),
        }
    }

    /// One finished exchange.
    pub(super) async fn exchange(core: &Core, request: &str) -> Option<Value> {
        let (status, value) = get(core, &format!("/exchanges/{request}")).await?;
        (status == 200 && value.is_object()).then_some(value)
    }

    /// Names of the plugins in force.
    pub(super) fn plugins(&self) -> Option<Vec<String>> {
        let list = self.plugins["plugins"].as_array()?;
        Some(
            list.iter()
                .take(ITEMS)
                .filter_map(|plugin| text(&plugin["name"]))
                .collect(),
        )
    }

    /// All model servers.
    pub(super) fn targets(&self) -> Vec<Target> {
        let upstreams = self.upstreams["upstreams"].as_array().into_iter().flatten();
        let targets =
            upstreams.flat_map(|upstream| upstream["targets"].as_array().into_iter().flatten());
        targets.take(ITEMS).filter_map(target).collect()
    }

    /// The state of the worst circuit breaker, if the proxy reports any.
    pub(super) fn circuit(&self) -> Option<String> {
        let upstreams = self.upstreams["upstreams"].as_array()?.iter();
        let states: Vec<String> = upstreams
            .flat_map(|upstream| upstream["targets"].as_array().into_iter().flatten())
            .filter_map(|target| text(&target["circuit"]))
            .collect();
        let worst = states.iter().find(|state| *state != "closed");
        worst.or(states.first()).cloned()
    }
}

fn target(value: &Value) -> Option<Target> {
    let loaded = value["loaded"].as_array();
    Some(Target {
        address: text(&value["target"])?,
        state: text(&value["state"]).unwrap_or_else(|| "unknown".to_owned()),
        reason: text(&value["reason"]),
        version: text(&value["version"]),
        loaded: loaded.map(|list| list.iter().take(ITEMS).filter_map(text).collect()),
    })
}

/// Times of the layers below, as the proxy measured them: its whole exchange, and the same without its stages.
pub(super) fn layer_times(exchange: &Value) -> Vec<LayerTime> {
    let figure = |name: &str| exchange[name].as_f64().filter(|ms| *ms >= 0.0);
    // Milliseconds of an exchange: far below what a float can hold exactly.
    let whole = |ms: f64| ms.round() as u64;
    let (ttft, ms) = (figure("ttft_ms"), figure("ms"));
    if ttft.is_none() && ms.is_none() {
        return Vec::new();
    }
    let mut times = vec![LayerTime {
        layer: "proxy",
        ttft_ms: ttft.map(whole),
        ms: ms.map(whole),
    }];
    if let (Some(ms), Some(own)) = (ms, figure("stages_ms")) {
        times.push(LayerTime {
            layer: "model",
            ttft_ms: None,
            ms: Some(whole((ms - own).max(0.0))),
        });
    }
    times
}

async fn get(core: &Core, path: &str) -> Option<(u16, Value)> {
    let whole = core.admin.as_ref()?.get(path, TIMEOUT).await.ok()?;
    Some((
        whole.status,
        serde_json::from_slice(&whole.body).unwrap_or(Value::Null),
    ))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_of_any_shape_are_survived() {
        for odd in [
            Value::Null,
            json!([]),
            json!({ "upstreams": 1, "plugins": {} }),
            json!({ "upstreams": [{ "targets": [1, {}] }] }),
        ] {
            let admin = Admin {
                ready: None,
                plugins: odd.clone(),
                upstreams: odd.clone(),
            };
            assert_eq!((admin.targets(), admin.circuit()), (Vec::new(), None));
            assert!(admin.plugins().is_none());
            assert_eq!(layer_times(&odd), []);
        }
    }

    #[test]
    fn targets_plugins_and_breakers_are_read() {
        let upstreams = json!({ "upstreams": [{ "name": "ollama", "targets": [
            { "target": "a:1", "state": "up", "version": "0.12.3", "loaded": ["m1"], "circuit": "closed" },
            { "target": "b:2", "state": "down", "reason": "refused", "circuit": "open" },
        ] }] });
        let admin = Admin {
            ready: None,
            plugins: json!({ "plugins": [{ "name": "auth" }, {}] }),
            upstreams,
        };
        assert_eq!(admin.plugins(), Some(vec!["auth".to_owned()]));
        assert_eq!(admin.circuit().as_deref(), Some("open"));
        let targets = admin.targets();
        assert_eq!(
            (targets[0].version.as_deref(), &targets[0].loaded),
            (Some("0.12.3"), &Some(vec!["m1".to_owned()]))
        );
        assert_eq!(
            (targets[1].state.as_str(), targets[1].reason.as_deref()),
            ("down", Some("refused"))
        );
        assert_eq!((&targets[1].version, &targets[1].loaded), (&None, &None));
    }

    #[test]
    fn an_exchange_is_divided_into_its_layers() {
        let times = layer_times(&json!({ "ms": 12.6, "ttft_ms": 3.4, "stages_ms": 0.2 }));
        let figures: Vec<_> = times
            .iter()
            .map(|time| (time.layer, time.ttft_ms, time.ms))
            .collect();
        assert_eq!(
            figures,
            [("proxy", Some(3), Some(13)), ("model", None, Some(12))]
        );
        assert_eq!(layer_times(&json!({ "ms": -1, "ttft_ms": null })), []);
    }
}
