//! The metrics of exchanges.
//!
//! # Source
//! OpenTelemetry's semantic conventions 1.37: metrics of HTTP servers and of GenAI clients, with the buckets that they advise.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::exchange::{Exchange, operation};

/// Seconds of an HTTP request.
const REQUEST: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 60.0, 300.0,
];

/// Seconds of an operation of a model.
const OPERATION: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// Tokens.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// One instrument for each metric.
#[derive(Debug)]
pub(super) struct Instruments {
    request: Histogram<f64>,
    operation: Histogram<f64>,
    first_chunk: Histogram<f64>,
    tokens: Histogram<u64>,
}

impl Instruments {
    pub(super) fn of(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("sluicegate");
        let seconds = |name, about, buckets: &[f64]| {
            meter
                .f64_histogram(name)
                .with_description(about)
                .with_unit("s")
                .with_boundaries(buckets.to_vec())
                .build()
        };
        Self {
            request: seconds(
                "http.server.request.duration",
                "Duration of HTTP server requests",
                &REQUEST,
            ),
            operation: seconds(
                "gen_ai.client.operation.duration",
                "Duration of an operation of a model",
                &OPERATION,
            ),
            first_chunk: seconds(
                "gen_ai.client.operation.time_to_first_chunk",
                "Time until the first chunk of the response",
                &OPERATION,
            ),
            tokens: meter
                .u64_histogram("gen_ai.client.token.usage")
                .with_description("Tokens used")
                .with_unit("{token}")
                .with_boundaries(TOKENS.to_vec())
                .build(),
        }
    }

    /// Counts an exchange. Attributes are from closed sets, but for the model, whose series the library bounds.
    pub(super) fn record(&self, exchange: &Exchange) {
        let error = (!exchange.error.is_empty())
            .then(|| KeyValue::new("error.type", exchange.error.clone()));
        let mut http = vec![
            KeyValue::new("http.request.method", exchange.method.clone()),
            KeyValue::new("http.route", exchange.route.to_string()),
            KeyValue::new("http.response.status_code", i64::from(exchange.status)),
        ];
        http.extend(error.clone());
        self.request.record(exchange.took.as_secs_f64(), &http);

        let operation = operation(&exchange.path);
        let Some(attempt) = exchange.attempts.last().filter(|_| !operation.is_empty()) else {
            return;
        };
        let mut model = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", attempt.vendor.to_string()),
            KeyValue::new("gen_ai.request.model", attempt.model.to_string()),
            KeyValue::new("server.address", attempt.server.0.to_string()),
            KeyValue::new("server.port", i64::from(attempt.server.1)),
        ];
        if let Some(usage) = exchange.usage {
            for (kind, tokens) in [("input", usage.input), ("output", usage.output)] {
                let kind = KeyValue::new("gen_ai.token.type", kind);
                let attributes: Vec<_> = model.iter().cloned().chain([kind]).collect();
                self.tokens.record(tokens, &attributes);
            }
        }
        if let Some(first) = exchange.first_byte {
            self.first_chunk.record(first.as_secs_f64(), &model);
        }
        model.extend(error);
        let took = exchange.took.saturating_sub(attempt.began);
        self.operation.record(took.as_secs_f64(), &model);
    }
}
