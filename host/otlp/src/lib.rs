//! Traces and metrics by OTLP over HTTP, with the names of OpenTelemetry's semantic conventions.
//!
//! Responsible for the trace context of an exchange, for its spans and metrics once it is over, and for sending them. Nobody waits
//! for that: what does not fit into the queue is dropped and counted. Not responsible for what happens in an exchange: whoever
//! has recorded it hands it over as an [`Exchange`].
//!
//! No text of a message is ever in a span.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SpanExporter as _;
use sluicegate_config as config;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

mod client;
mod context;
mod exchange;
mod instruments;
mod queue;
mod spans;

pub use self::context::TraceContext;
pub use self::exchange::{Attempt, Exchange, Usage};

use self::client::Wire;
use self::instruments::Instruments;
use self::queue::Queue;

/// How long a request to the collector may take: OpenTelemetry's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of the process waits for what is left to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[error("the exporter for {endpoint} cannot be set up: {reason}")]
pub struct Error {
    endpoint: String,
    reason: String,
}

/// Is told how many exchanges' spans were dropped.
pub type Dropped = Arc<dyn Fn(u64) + Send + Sync>;

/// Sends spans and metrics to a collector.
pub struct Otlp {
    sample: f64,
    queue: Queue,
    metrics: Option<(SdkMeterProvider, Instruments)>,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otlp")
    }
}

impl Otlp {
    /// Begins to send, on this runtime. Whether the collector can be reached does not matter: the log says when it cannot, and
    /// `dropped` is told what is lost.
    ///
    /// # Errors
    /// [`Error`], which a validated configuration does not lead to.
    ///
    /// # Panics
    /// If called outside a tokio runtime.
    pub fn start(
        config: &config::Otlp,
        version: &'static str,
        dropped: Dropped,
    ) -> Result<Self, Error> {
        let failed = |error: &dyn fmt::Display| Error {
            endpoint: config.endpoint.to_string(),
            reason: error.to_string(),
        };
        let base = config.endpoint.to_string();
        let url = |path: &str| format!("{}{path}", base.trim_end_matches('/'));
        let wire = Wire::new(config, Handle::current());
        let resource = Resource::builder()
            .with_service_name(config.service.clone())
            .with_attribute(opentelemetry::KeyValue::new("service.version", version))
            .build();
        let mut spans = SpanExporter::builder()
            .with_http()
            .with_http_client(wire.clone())
            .with_endpoint(url("/v1/traces"))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| failed(&error))?;
        spans.set_resource(&resource);
        let metrics = match config.metrics {
            None => None,
            Some(interval) => {
                let exporter = MetricExporter::builder()
                    .with_http()
                    .with_http_client(wire)
                    .with_endpoint(url("/v1/metrics"))
                    .with_timeout(TIMEOUT)
                    .build()
                    .map_err(|error| failed(&error))?;
                let reader = PeriodicReader::builder(exporter)
                    .with_interval(interval)
                    .build();
                let provider = SdkMeterProvider::builder()
                    .with_reader(reader)
                    .with_resource(resource)
                    .build();
                let instruments = Instruments::of(&provider);
                Some((provider, instruments))
            }
        };
        Ok(Self {
            sample: config.sample,
            queue: Queue::start(spans, base, dropped),
            metrics,
        })
    }

    /// The trace context of an exchange whose request has these fields.
    #[must_use]
    pub fn context(&self, header: &hyper::HeaderMap) -> TraceContext {
        TraceContext::of(header, self.sample)
    }

    /// An exchange is over. Never waits.
    pub fn record(&self, exchange: &Exchange) {
        if let Some((_, instruments)) = &self.metrics {
            instruments.record(exchange);
        }
        if exchange.context.is_sampled() {
            self.queue.send(spans::of(exchange));
        }
    }

    /// Sends what is left, for at most two seconds.
    pub async fn stop(&self) {
        self.queue.stop(LAST).await;
        if let Some((provider, _)) = &self.metrics {
            let provider = provider.clone();
            // Its reader sends on a thread of its own, for which this one waits.
            let stopped = spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
            if let Ok(Err(error)) = stopped {
                let error = error.to_string();
                tracing::warn!(error, "the last metrics could not be sent to the collector");
            }
        }
    }
}
