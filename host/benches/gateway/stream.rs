//! Streams: Ollama's lines become OpenAI's chunks, one batch at a time.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use sluicegate::pipeline::Pipeline;
use sluicegate::plugin::abi::{EventParam, EventsAction, HeadAction, Plan};
use sluicegate::plugin::instance::{Filter, Loan};
use sluicegate::plugin::{Engine, Version};

use crate::measure::Bench;
use crate::stage::{self, CHAT, DONE, LINE};

/// Lines that arrive together. 32 is the most that a stage is shown in one call.
const BATCHES: [usize; 4] = [1, 4, 16, 32];
/// Tokens of a whole answer.
const TOKENS: usize = 64;

/// The adapter alone, and whole chains of stages.
pub(crate) fn run(bench: &mut Bench, engine: &Engine) {
    let Some(ollama) = bench.wait(stage::version(engine, "ollama", json!({}))) else {
        return;
    };
    adapter(bench, &ollama);
    let stages = vec![ollama];
    chain(bench, "`ollama`", &pipeline(stages.clone()));
    let Some(aggregate) = bench.wait(stage::version(engine, "aggregate", json!({}))) else {
        return;
    };
    let stages = [vec![aggregate], stages].concat();
    chain(bench, "`aggregate`, `ollama`", &pipeline(stages.clone()));
}

fn pipeline(stages: Vec<Arc<Version>>) -> Pipeline {
    Pipeline {
        stages,
        observers: Vec::new(),
    }
}

/// Calls of `response-events` and nothing else.
fn adapter(bench: &mut Bench, ollama: &Arc<Version>) {
    let (mut loan, mut filter) = bench.wait(ready(ollama));
    for batch in BATCHES {
        let line = EventParam {
            name: "",
            data: LINE,
        };
        let lines = vec![line; batch];
        let title = format!("stream: `ollama`: a line into a chunk, {batch} at a time");
        bench.micros(&title, batch, async || {
            let action = filter
                .response_events(&mut loan, &lines)
                .await
                .expect("it answers");
            assert!(matches!(black_box(action), EventsAction::Replace(_)));
        });
    }
}

/// A filter that waits for the lines of a stream.
async fn ready(ollama: &Arc<Version>) -> (Loan, Filter) {
    let mut loan = stage::loan();
    let mut filter = Filter::new(ollama, &mut loan).await.expect("it starts");
    filter.request_head(&mut loan).await.expect("it answers");
    filter
        .request_body(&mut loan, CHAT.as_bytes())
        .await
        .expect("it answers");
    stage::answered(&mut loan);
    let head = filter.response_head(&mut loan).await.expect("it answers");
    assert!(matches!(head, HeadAction::Proceed(Plan::Events(_))));
    (loan, filter)
}

/// Octets to octets: decoded, through the stages, encoded; and a whole exchange without its sockets.
fn chain(bench: &mut Bench, stages: &str, pipeline: &Pipeline) {
    let (mut loan, mut chain) = bench.wait(stage::streaming(
        pipeline,
        Bytes::from_static(CHAT.as_bytes()),
    ));
    for batch in BATCHES {
        let octets = Bytes::from([LINE, b"\n"].concat().repeat(batch));
        let title = format!("stream: chain of {stages}, per line, {batch} at a time");
        bench.micros(&title, batch, async || {
            let output = chain.push(&mut loan, octets.clone(), false).await;
            assert!(output.stop.is_none(), "the lines pass: {:?}", output.stop);
            black_box(output);
        });
    }
    exchanges(bench, stages, pipeline, 1);
    exchanges(bench, stages, pipeline, 32);
}

/// Whole exchanges without their sockets, so many of them in flight at a time.
fn exchanges(bench: &mut Bench, stages: &str, pipeline: &Pipeline, flight: usize) {
    let lines = [LINE, b"\n"].concat().repeat(TOKENS);
    let octets = Bytes::from([&lines[..], DONE, b"\n"].concat());
    let title = format!("stream: exchange of {stages}, {TOKENS} lines, {flight} in flight");
    bench.micros(&title, flight, async || {
        let mut asked = Vec::with_capacity(flight);
        for _ in 0..flight {
            asked.push(stage::asked(pipeline, Bytes::from_static(CHAT.as_bytes())).await);
        }
        for (mut loan, run) in asked {
            let mut chain = stage::answer(&mut loan, run).await;
            let output = chain.push(&mut loan, octets.clone(), true).await;
            assert!(output.stop.is_none(), "the lines pass: {:?}", output.stop);
            assert!(output.last);
        }
    });
}
