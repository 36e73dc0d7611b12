//! Sandboxes: what a fresh instance costs, and a call into it.

use std::hint::black_box;
use std::sync::Arc;

use serde_json::json;
use sluicegate_plugin_host::instance::Instance;
use sluicegate_plugin_host::wit::RequestPlan;
use sluicegate_plugin_host::{Engine, Plugin};

use crate::measure::Bench;
use crate::stage::{self, CHAT};

/// Gates and filters without a stream.
pub(crate) fn run(bench: &mut Bench, engine: &Engine) {
    if let Some(auth) = bench.wait(stage::plugin(engine, "auth", stage::thousand_keys())) {
        gate(bench, &auth);
    }
    for name in ["aggregate", "ollama"] {
        if let Some(filter) = bench.wait(stage::plugin(engine, name, json!({}))) {
            instance(bench, name, &filter);
        }
    }
    if let Some(ollama) = bench.wait(stage::plugin(engine, "ollama", json!({}))) {
        call(bench, &ollama);
        request(bench, &ollama);
    }
}

fn gate(bench: &mut Bench, auth: &Arc<Plugin>) {
    let mut context = stage::context();
    bench.micros(
        "sandbox: gate `auth`, 1,000 keys: instance, call, drop",
        1,
        async || {
            // The gate takes the key out of the request.
            let key = hyper::header::HeaderValue::from_static("Bearer sk-bench-0500");
            context.request.insert(hyper::header::AUTHORIZATION, key);
            let decided = Instance::new(auth, None).check(&mut context).await;
            assert!(decided.expect("the gate answers").is_ok());
        },
    );
}

fn instance(bench: &mut Bench, name: &str, plugin: &Arc<Plugin>) {
    let title = format!("sandbox: `{name}`: instance, drop");
    bench.micros(&title, 1, async || {
        let mut instance = Instance::new(plugin, None);
        instance.make().await.expect("it starts");
        black_box(instance);
    });
}

/// The end of a response that never began: the guest looks at its state and returns.
fn call(bench: &mut Bench, ollama: &Arc<Plugin>) {
    let mut context = stage::context();
    let mut instance = Instance::new(ollama, None);
    bench.micros("sandbox: `ollama`: an empty call", 1, async || {
        let events = instance.end(&mut context).await.expect("it answers");
        assert!(events.is_ok_and(|events| events.is_empty()));
    });
}

/// A chat from OpenAI's form to Ollama's.
fn request(bench: &mut Bench, ollama: &Arc<Plugin>) {
    bench.micros(
        "sandbox: an exchange's context, made and dropped",
        1,
        async || {
            black_box(stage::context());
        },
    );
    bench.micros(
        "sandbox: `ollama`: context, instance, head, body, drop",
        1,
        async || {
            let mut context = stage::context();
            let mut instance = Instance::new(ollama, None);
            let plan = instance
                .request_head(&mut context)
                .await
                .expect("it answers");
            assert!(matches!(plan, Ok(RequestPlan::Whole)));
            let body = instance
                .request_body(&mut context, CHAT.as_bytes())
                .await
                .expect("it answers");
            assert!(matches!(body, Ok(Some(_))));
        },
    );
}
