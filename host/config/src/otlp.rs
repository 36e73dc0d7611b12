//! The section `[otlp]`: where traces and metrics are sent.

use std::time::Duration;

use super::address::Target;
use super::reader::{Table, Value};
use super::secret::{self, Secret};

/// Where traces and metrics are sent by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector; `/v1/traces` and `/v1/metrics` are asked below its base path.
    pub endpoint: Target,
    /// Header fields of each request, such as a key.
    pub fields: Vec<(String, Secret)>,
    /// The name of this service.
    pub service: String,
    /// The part of the traces that begin here that is recorded, from 0 to 1. A trace that a client has begun is recorded if the
    /// client says so.
    pub sample: f64,
    /// How often metrics are sent, and how long a span waits for others at most; `None`: metrics are not sent.
    pub metrics: Option<Duration>,
}

/// How often metrics are sent if nothing else is said: OpenTelemetry's own default.
const INTERVAL: Duration = Duration::from_secs(60);

/// Reads the section, if there is one.
pub(super) fn otlp(root: &Table<'_>) -> Option<Otlp> {
    let table = root.section("otlp");
    if !table.is_present() {
        return None;
    }
    let mend = r#"add the collector's address, such as endpoint = "http://127.0.0.1:4318""#;
    let endpoint = table.required("endpoint", mend);
    let endpoint = endpoint.and_then(|value| endpoint_of(&value));
    let fields = table.section("headers");
    let fields = fields
        .entries()
        .filter_map(|(name, value)| field(name, &value))
        .collect();
    let service = table.text("service").map(|text| text.text.to_owned());
    let sample = table.get("sample").and_then(|value| share(&value));
    let metrics = table.duration_or_off("metrics");
    table.finish();
    Some(Otlp {
        endpoint: endpoint?,
        fields,
        service: service.unwrap_or_else(|| "sluicegate".to_owned()),
        sample: sample.unwrap_or(1.0),
        metrics: metrics.unwrap_or(Some(INTERVAL)),
    })
}

fn endpoint_of(value: &Value<'_>) -> Option<Target> {
    let target = Target::parse(value.string()?);
    let mend =
        r#"write the collector's address, such as "http://127.0.0.1:4318", without /v1/traces"#;
    match target {
        Ok(target) if target.base.ends_with("/v1/traces") => {
            value.problem("has the path of traces", mend);
            None
        }
        Ok(target) => Some(target),
        Err(error) => {
            value.problem(error, mend);
            None
        }
    }
}

fn field(name: &str, value: &Value<'_>) -> Option<(String, Secret)> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(legal) {
        value.problem(
            "is not the name of a header field",
            "write it in lower case, such as authorization",
        );
    }
    let secret = secret::read(value)?;
    if secret
        .expose()
        .bytes()
        .any(|byte| byte < b' ' || byte == 127)
    {
        value.problem(
            "has characters that no header field can have",
            "remove line ends and other control characters",
        );
    }
    Some((name.to_owned(), secret))
}

/// A number from 0 to 1.
fn share(value: &Value<'_>) -> Option<f64> {
    let number = match value.node {
        toml::de::DeValue::Integer(number) => number.to_string().parse().ok(),
        toml::de::DeValue::Float(number) => number.to_string().parse().ok(),
        _ => None,
    };
    let share = number.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        value.problem("is not a part", "write a number from 0 to 1, such as 0.1");
    }
    share
}
