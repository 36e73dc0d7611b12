//! Sandboxes: what a fresh instance costs, and a call into it.

use std::hint::black_box;
use std::sync::Arc;

use serde_json::json;
use sluicegate::plugin::abi::{BodyAction, EndAction, HeadAction, Plan, Verdict};
use sluicegate::plugin::instance::{Filter, check};
use sluicegate::plugin::{Engine, Version};

use crate::measure::Bench;
use crate::stage::{self, CHAT};

/// Gates and filters without a stream.
pub(crate) fn run(bench: &mut Bench, engine: &Engine) {
    if let Some(auth) = bench.wait(stage::version(engine, "auth", stage::thousand_keys())) {
        gate(bench, &auth);
    }
    for name in ["aggregate", "ollama"] {
        if let Some(filter) = bench.wait(stage::version(engine, name, json!({}))) {
            instance(bench, name, &filter);
        }
    }
    if let Some(ollama) = bench.wait(stage::version(engine, "ollama", json!({}))) {
        call(bench, &ollama);
        request(bench, &ollama);
    }
}

fn gate(bench: &mut Bench, auth: &Arc<Version>) {
    let mut loan = stage::loan();
    bench.micros(
        "sandbox: gate `auth`, 1,000 keys: instance, call, drop",
        1,
        async || {
            // The gate takes the key out of the request.
            let key = hyper::header::HeaderValue::from_static("Bearer sk-bench-0500");
            loan.request.insert(hyper::header::AUTHORIZATION, key);
            let verdict = check(auth, &mut loan).await.expect("the gate answers");
            assert!(matches!(verdict, Verdict::Allow));
        },
    );
}

fn instance(bench: &mut Bench, name: &str, version: &Arc<Version>) {
    let mut loan = stage::loan();
    let title = format!("sandbox: filter `{name}`: instance, drop");
    bench.micros(&title, 1, async || {
        black_box(Filter::new(version, &mut loan).await.expect("it starts"));
    });
}

/// The end of a response that never began: the guest looks at its state and returns.
fn call(bench: &mut Bench, ollama: &Arc<Version>) {
    let mut loan = stage::loan();
    let mut filter = bench
        .wait(Filter::new(ollama, &mut loan))
        .expect("it starts");
    bench.micros("sandbox: filter `ollama`: an empty call", 1, async || {
        let action = filter.response_end(&mut loan).await.expect("it answers");
        assert!(matches!(action, EndAction::Pass));
    });
}

/// A chat from OpenAI's form to Ollama's.
fn request(bench: &mut Bench, ollama: &Arc<Version>) {
    bench.micros(
        "sandbox: an exchange's context, made and dropped",
        1,
        async || {
            black_box(stage::loan());
        },
    );
    bench.micros(
        "sandbox: filter `ollama`: context, instance, head, body, drop",
        1,
        async || {
            let mut loan = stage::loan();
            let mut filter = Filter::new(ollama, &mut loan).await.expect("it starts");
            let head = filter.request_head(&mut loan).await.expect("it answers");
            assert!(matches!(head, HeadAction::Proceed(Plan::Whole)));
            let body = filter
                .request_body(&mut loan, CHAT.as_bytes())
                .await
                .expect("it answers");
            assert!(matches!(body, BodyAction::Replace(_)));
        },
    );
}
