//! What the benchmarks run: the shipped plugins, and exchanges for them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use sluicegate::builtin;
use sluicegate_config::{self as config, SetLimits, Source};
use sluicegate_contract::{Context, Identity};
use sluicegate_gateway::pipeline::{Limits, Pipeline, PipelineRun};
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::{Engine, Loader, Plugin};
use sluicegate_telemetry::metrics::Metrics;

/// A chat with one question, as the official clients send it.
pub(crate) const CHAT: &str = r#"{"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Why is the sky blue? Answer in one paragraph."}],"model":"qwen3:32b","temperature":0.7,"max_tokens":512,"stream":true}"#;

/// One line of Ollama's stream, about a token.
pub(crate) const LINE: &[u8] = br#"{"model":"qwen3:32b","created_at":"2026-08-01T10:00:00.123456789Z","message":{"role":"assistant","content":" scattered"},"done":false}"#;

/// Ollama's last line.
pub(crate) const DONE: &[u8] = br#"{"model":"qwen3:32b","created_at":"2026-08-01T10:00:01.2Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":174560334,"load_duration":101397084,"prompt_eval_count":31,"prompt_eval_duration":13074791,"eval_count":64,"eval_duration":52479709}"#;

/// An upstream's name; nothing is sent there.
const UPSTREAM: &str = "ollama";

/// The configuration of `auth`: a thousand keys.
pub(crate) fn thousand_keys() -> Value {
    let keys: Vec<Value> = (0..1_000)
        .map(|n| json!({ "name": format!("team-{n}"), "key": format!("sk-bench-{n:04}") }))
        .collect();
    json!({ "keys": keys })
}

/// A shipped plugin with this configuration, or `None` if it is not part of this build.
pub(crate) async fn plugin(engine: &Engine, name: &str, config: Value) -> Option<Arc<Plugin>> {
    let bytes = builtin::PLUGINS.find(name).ok()?;
    let configured = config::Plugin {
        name: name.to_owned(),
        source: Source::Builtin(name.to_owned()),
        fail_open: false,
        limits: SetLimits::default(),
        grant: config::Grant::default(),
        config,
        secrets: BTreeSet::new(),
    };
    let metrics = Metrics::new().plugin(name);
    let plugin = Loader::new(engine.clone())
        .load(&configured, bytes.into(), metrics)
        .await
        .expect("a shipped plugin loads");
    Some(plugin)
}

/// An exchange at its beginning: a chat from a client with a good key.
pub(crate) fn context() -> ExchangeContext {
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::AUTHORIZATION, "Bearer sk-bench-0500")
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "OpenAI/Python 2.0.0")
        .header("x-stainless-lang", "python")
        .header("x-stainless-os", "Linux")
        .body(())
        .expect("a legal request");
    let identity = Identity {
        id: "req_abcdefghijklmnop".into(),
        received_ms: 1_785_578_400_000,
        route: "/v1/chat/completions".into(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let upstreams: Arc<[Arc<str>]> = [UPSTREAM.into()].into();
    let (parts, ()) = request.into_parts();
    ExchangeContext::new(Context::new(identity, parts, UPSTREAM.into(), upstreams))
}

/// Puts the head of Ollama's streamed response into an exchange.
pub(crate) fn answered(context: &mut ExchangeContext) {
    context.status = Some(StatusCode::OK);
    context.response.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
}

/// An exchange whose request, with this body, has gone to the model server.
pub(crate) async fn asked(pipeline: &Pipeline, body: Bytes) -> (ExchangeContext, PipelineRun) {
    let mut context = context();
    let limits = Limits {
        body: 32 << 20,
        event: 8 << 20,
    };
    let mut run = PipelineRun::new(pipeline, limits);
    run.request_heads(&mut context)
        .await
        .unwrap_or_else(|stop| panic!("the request head passes: {stop:?}"));
    run.request_body(&mut context, body)
        .await
        .expect("the request body passes");
    context.freeze().expect("nothing is there twice");
    run.release_request();
    (context, run)
}

/// An exchange at its response's body, and the stages that the body goes through.
pub(crate) async fn streaming(pipeline: &Pipeline, body: Bytes) -> (ExchangeContext, PipelineRun) {
    let (mut context, mut run) = asked(pipeline, body).await;
    answer(&mut context, &mut run).await;
    (context, run)
}

/// Takes the exchange to the response's body.
pub(crate) async fn answer(context: &mut ExchangeContext, run: &mut PipelineRun) {
    answered(context);
    run.open(context, None)
        .await
        .unwrap_or_else(|stop| panic!("the response head passes: {stop:?}"));
}
