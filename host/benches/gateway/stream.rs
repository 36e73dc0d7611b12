//! Streams: Ollama's lines become OpenAI's chunks, one batch at a time.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use sluicegate_gateway::pipeline::{Chunk, Data, End, Pipeline};
use sluicegate_plugin_host::wit::{EventParam, ResponsePlan};
use sluicegate_plugin_host::{Engine, Plugin};
use sluicegate_plugin_host::{ExchangeContext, instance::Instance};

use crate::measure::Bench;
use crate::stage::{self, CHAT, DONE, LINE};

/// Lines that arrive together. A stage gets at most 32 in one call.
const BATCHES: [usize; 4] = [1, 4, 16, 32];
/// Tokens of a whole answer.
const TOKENS: usize = 64;

/// The adapter alone, and whole chains of stages.
pub(crate) fn run(bench: &mut Bench, engine: &Engine) {
    let Some(ollama) = bench.wait(stage::plugin(engine, "ollama", json!({}))) else {
        return;
    };
    adapter(bench, &ollama);
    let stages = vec![ollama];
    chain(bench, "`ollama`", &pipeline(stages.clone()));
    let Some(aggregate) = bench.wait(stage::plugin(engine, "aggregate", json!({}))) else {
        return;
    };
    let stages = [vec![aggregate], stages].concat();
    chain(bench, "`aggregate`, `ollama`", &pipeline(stages.clone()));
}

fn pipeline(stages: Vec<Arc<Plugin>>) -> Pipeline {
    Pipeline {
        watching: stages.iter().map(|_| None).collect(),
        stages,
        observers: Vec::new(),
    }
}

/// Calls of `events.batch` and nothing else.
fn adapter(bench: &mut Bench, ollama: &Arc<Plugin>) {
    let (mut context, mut instance) = bench.wait(ready(ollama));
    let data = std::str::from_utf8(LINE).expect("UTF-8");
    for batch in BATCHES {
        let line = EventParam {
            name: "",
            data,
            id: None,
        };
        let lines = vec![line; batch];
        let title = format!("stream: `ollama`: a line into a chunk, {batch} at a time");
        bench.micros(&title, batch, async || {
            let events = instance
                .batch(&mut context, &lines)
                .await
                .expect("it answers");
            assert!(matches!(black_box(events), Ok(Some(_))));
        });
    }
}

/// An instance that waits for the lines of a stream.
async fn ready(ollama: &Arc<Plugin>) -> (ExchangeContext, Instance) {
    let mut context = stage::context();
    let mut instance = Instance::new(ollama, None);
    let head = instance.request_head(&mut context).await;
    assert!(head.expect("it answers").is_ok());
    let body = instance.request_body(&mut context, CHAT.as_bytes()).await;
    assert!(body.expect("it answers").is_ok());
    stage::answered(&mut context);
    let head = instance
        .response_head(&mut context)
        .await
        .expect("it answers");
    assert!(matches!(head, Ok(ResponsePlan::Sse)));
    (context, instance)
}

/// Bytes to bytes: decoded, through the stages, encoded; and a whole exchange without its sockets.
fn chain(bench: &mut Bench, stages: &str, pipeline: &Pipeline) {
    let (mut context, mut run) = bench.wait(stage::streaming(
        pipeline,
        Bytes::from_static(CHAT.as_bytes()),
    ));
    for batch in BATCHES {
        let bytes = Bytes::from([LINE, b"\n"].concat().repeat(batch));
        let title = format!("stream: chain of {stages}, per line, {batch} at a time");
        bench.micros(&title, batch, async || {
            let lines = Chunk::open(Data::Bytes(bytes.clone()));
            let output = run.push(&mut context, lines).await;
            assert!(matches!(output.end, End::Open), "{:?}", output.end);
            black_box(output.data.into_bytes(output.framing));
        });
    }
    exchanges(bench, stages, pipeline, 1);
    exchanges(bench, stages, pipeline, 32);
}

/// Whole exchanges without their sockets, many of them at a time.
fn exchanges(bench: &mut Bench, stages: &str, pipeline: &Pipeline, flight: usize) {
    let lines = [LINE, b"\n"].concat().repeat(TOKENS);
    let bytes = Bytes::from([&lines[..], DONE, b"\n"].concat());
    let title = format!("stream: exchange of {stages}, {TOKENS} lines, {flight} in flight");
    bench.micros(&title, flight, async || {
        let mut asked = Vec::with_capacity(flight);
        for _ in 0..flight {
            asked.push(stage::asked(pipeline, Bytes::from_static(CHAT.as_bytes())).await);
        }
        for (mut context, mut run) in asked {
            stage::answer(&mut context, &mut run).await;
            let lines = Chunk::last(Data::Bytes(bytes.clone()));
            let output = run.push(&mut context, lines).await;
            assert!(matches!(output.end, End::Last), "{:?}", output.end);
            black_box(output.data.into_bytes(output.framing));
        }
    });
}
