//! Traces and metrics by OTLP, as a collector gets them.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use sluicegate_tests::upstream::{Request, closed_port, ollama};
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually, logs};

use crate::common::{question, streamed};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn collector() -> Upstream {
    Upstream::always(Script::empty(200)).await
}

/// The first model server is busy, and the second one, of another upstream, responds.
fn setup(collector: &str, busy: &Upstream, spare: &Upstream) -> Setup {
    Setup::before(busy)
        .upstream("attempts = { max = 2 }")
        .section(&format!(
            "[otlp]\nendpoint = \"{collector}/base\"\nmetrics = \"100ms\"\nheaders = {{ x-key = \"secret-key\" }}"
        ))
        .chat_with_spare(spare)
}

async fn servers() -> (Upstream, Upstream) {
    // It may be asked again at once, so the second exchange meets it too.
    let busy = Script::status(503)
        .field("content-type", "application/json")
        .field("retry-after", "0")
        .body(ollama::error("server busy").to_string());
    let busy = Upstream::always(busy).await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    (busy, spare)
}

fn of_path(collector: &Upstream, path: &str) -> Vec<Arc<Request>> {
    let mut requests = collector.requests();
    requests.retain(|request| request.path() == path);
    requests
}

/// The spans that the collector has got.
fn spans(collector: &Upstream) -> Vec<Span> {
    let requests = of_path(collector, "/base/v1/traces");
    let requests = requests.iter().map(|request| {
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        assert_eq!(request.header("x-key"), Some("secret-key"));
        ExportTraceServiceRequest::decode(&*request.body).expect("the protocol")
    });
    let resources = requests.flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| {
        let about = resource.resource.expect("it says who sends");
        let about = attributes(&about.attributes);
        assert_eq!(about["service.name"], "sluicegate");
        resource.scope_spans
    });
    scopes.flat_map(|scope| scope.spans).collect()
}

fn attributes(list: &[KeyValue]) -> HashMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
        match value.expect("a value") {
            Any::StringValue(text) => text.clone(),
            Any::IntValue(number) => number.to_string(),
            Any::DoubleValue(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    };
    list.iter().map(|it| (it.key.clone(), text(it))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn chat(gateway: &Gateway, parent: &str, stream: bool) -> String {
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let client = client.with("traceparent", parent).with("tracestate", "a=b");
    let body = if stream { streamed() } else { question() };
    let response = client.chat(&body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    id
}

#[tokio::test]
async fn an_exchange_is_a_server_span_and_each_attempt_a_client_span() {
    let (collector, (busy, spare)) = (collector().await, servers().await);
    let gateway = setup(&collector.url(), &busy, &spare).start().await;
    for stream in [true, false] {
        let id = chat(&gateway, PARENT, stream).await;
        let all = eventually("the spans", async || {
            let mut all = spans(&collector);
            all.retain(|span| span.start_time_unix_nano > 0);
            let own = |span: &Span| {
                attributes(&span.attributes).get("sluicegate.request.id") == Some(&id)
            };
            let server = all.iter().find(|span| own(span))?.clone();
            let mut attempts = all;
            attempts.retain(|span| span.parent_span_id == server.span_id);
            Some((server, attempts))
        })
        .await;
        let (server, mut attempts) = all;
        assert_eq!(server.kind(), SpanKind::Server);
        assert_eq!(server.name, "POST /v1/chat/completions");
        assert_eq!(hex(&server.trace_id), TRACE);
        assert_eq!(hex(&server.parent_span_id), "b7ad6b7169203331");
        assert_eq!(server.trace_state, "a=b");
        let about = attributes(&server.attributes);
        for (name, value) in [
            ("http.request.method", "POST"),
            ("http.route", "/v1/chat/completions"),
            ("http.response.status_code", "200"),
            ("client.address", "127.0.0.1"),
            ("sluicegate.attempts", "2"),
        ] {
            assert_eq!(about[name], value, "{name}");
        }
        assert!(
            server
                .status
                .is_none_or(|status| status.code() == StatusCode::Unset)
        );

        attempts.sort_by_key(|span| span.start_time_unix_nano);
        assert_eq!(attempts.len(), 2);
        for (span, asked) in attempts.iter().zip([&busy, &spare]) {
            assert_eq!(span.kind(), SpanKind::Client);
            assert_eq!(span.name, "chat qwen3:32b");
            assert_eq!(hex(&span.trace_id), TRACE);
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            assert!(span.end_time_unix_nano <= server.end_time_unix_nano);
            let about = attributes(&span.attributes);
            assert_eq!(about["gen_ai.provider.name"], "ollama");
            assert_eq!(about["gen_ai.operation.name"], "chat");
            assert_eq!(about["server.port"], asked.address().port().to_string());
            let request = asked.requests().pop().expect("it was asked");
            let parent = format!("00-{TRACE}-{}-01", hex(&span.span_id));
            assert_eq!(request.header("traceparent"), Some(&*parent));
            assert_eq!(request.header("tracestate"), Some("a=b"));
        }
        let [first, second] = [0, 1].map(|at| attributes(&attempts[at].attributes));
        assert!(
            !first.contains_key("gen_ai.usage.output_tokens"),
            "it would count twice"
        );
        assert_eq!(
            attempts[0].status.as_ref().map(|it| it.code()),
            Some(StatusCode::Error)
        );
        assert!(!first["error.type"].is_empty());
        assert!(
            second["gen_ai.usage.output_tokens"]
                .parse::<u64>()
                .is_ok_and(|it| it > 0)
        );
        assert_eq!(second["http.request.resend_count"], "1");
    }
    gateway.shutdown().await;
    for request in collector.requests() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        for text in ["Hello", "secret-key"] {
            assert!(!body.contains(text), "{text} is nobody's business");
        }
    }
}

#[tokio::test]
async fn metrics_are_sent_by_the_names_of_the_conventions() {
    let (collector, (busy, spare)) = (collector().await, servers().await);
    let gateway = setup(&collector.url(), &busy, &spare).start().await;
    chat(&gateway, PARENT, true).await;
    let wanted = [
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "http.server.request.duration",
    ];
    eventually("the metrics", async || {
        let requests = of_path(&collector, "/base/v1/metrics");
        let last = requests.last()?;
        let request = ExportMetricsServiceRequest::decode(&*last.body).expect("the protocol");
        let resources = request.resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let mut names = Vec::new();
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let Some(Data::Histogram(histogram)) = metric.data else {
                panic!("{} is no histogram", metric.name);
            };
            let counted: u64 = histogram.data_points.iter().map(|point| point.count).sum();
            assert!(counted > 0, "{}", metric.name);
            names.push(metric.name);
        }
        names.sort();
        (names == wanted).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_want_to_be_traced_is_not() {
    let (collector, (busy, spare)) = (collector().await, servers().await);
    let gateway = setup(&collector.url(), &busy, &spare).start().await;
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    chat(&gateway, &unsampled, false).await;
    let request = spare.requests().pop().expect("it was asked");
    let parent = request.header("traceparent").expect("it goes on");
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"));
    gateway.shutdown().await;
    assert!(spans(&collector).is_empty());
}

#[tokio::test]
async fn without_its_collector_the_gateway_serves_and_counts_what_it_drops() {
    let (_socket, nobody) = closed_port();
    let (busy, spare) = servers().await;
    let gateway = setup(&format!("http://{nobody}"), &busy, &spare)
        .start()
        .await;
    chat(&gateway, PARENT, false).await;
    eventually("it is dropped", async || {
        let text = gateway.admin().get("/metrics").await.text();
        text.contains("sluicegate_spans_dropped_total 1\n")
            .then_some(())
    })
    .await;
    let endpoint = format!("http://{nobody}/base");
    logs::line("that it cannot", |line| {
        line["endpoint"] == endpoint.as_str() && line["level"] == "warn"
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_wrong_endpoint_is_named() {
    for (line, says) in [
        ("endpoint = \"127.0.0.1:4318\"", "otlp.endpoint"),
        (
            "endpoint = \"http://127.0.0.1:4318/v1/traces\"",
            "has the path of traces",
        ),
        ("sample = 0.5", "otlp: has no `endpoint`"),
        ("endpoint = \"http://x\"\nsample = 2", "otlp.sample"),
        (
            "endpoint = \"http://x\"\nheaders = { A = \"b\" }",
            "is not the name of a header field",
        ),
    ] {
        let text = Setup::before_url("http://127.0.0.1:1")
            .section(&format!("[otlp]\n{line}"))
            .chat()
            .toml();
        let problems = Gateway::start_in(&text, &|_| None).await;
        let problems = problems.err().map(|error| format!("{error:#}"));
        let problems = problems.expect("it is refused");
        assert!(problems.contains(says), "{line}: {problems}");
    }
}
