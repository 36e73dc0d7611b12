//! A stage at work on a response body: what comes in, what the stage makes of it, what goes on. What concerns events is in
//! `events`.

use bytes::{Bytes, BytesMut};
use sluicegate_contract::{ResponsePlan, check_replacement};

use super::chunk::{Chunk, End, Stopped};
use super::data::{Batches, Data, StepOutput, collect, decoded};
use super::events::EventStage;
use super::limits::{BATCH_BYTES, BATCH_EVENTS, Limits};
use super::stage::Stage;
use super::stop::Stop;
use crate::failure::Failure;
use sluicegate_framing::{self as framing, Batch, Decoder, Framing};
use sluicegate_plugin_host::ExchangeContext;

/// How a stage works on the body.
enum Mode {
    Whole(BytesMut),
    Chunks,
    Events {
        /// Turns bytes into events; none where events come in.
        decoder: Option<Box<Decoder>>,
        out: Framing,
    },
}

/// One stage at work on the body.
pub(super) struct BodyStep {
    /// Its place in the pipeline.
    pub(super) stage: usize,
    mode: Mode,
    /// The framing of what comes in.
    incoming: Framing,
    /// The framing of what goes out.
    outgoing: Framing,
    /// Events that it was shown.
    pub(super) seen: u64,
}

impl BodyStep {
    /// A step for a plan that is not `skip`. `batches` says that events come in, and not bytes; `out` is the framing of what
    /// goes out.
    pub(super) fn new(
        stage: usize,
        plan: ResponsePlan,
        incoming: Framing,
        batches: bool,
        out: Framing,
        limits: &Limits,
    ) -> Self {
        let mode = match plan {
            ResponsePlan::Whole => Mode::Whole(BytesMut::new()),
            ResponsePlan::Chunks | ResponsePlan::Skip => Mode::Chunks,
            ResponsePlan::Sse | ResponsePlan::Ndjson | ResponsePlan::Document => Mode::Events {
                decoder: (!batches)
                    .then(|| Box::new(Decoder::new(incoming, decoding(incoming, limits)))),
                out,
            },
        };
        Self {
            stage,
            mode,
            incoming,
            outgoing: out,
            seen: 0,
        }
    }

    /// The framing of the events that this step gives, if it gives events.
    pub(super) fn batches(&self) -> Option<Framing> {
        match &self.mode {
            Mode::Events { out, .. } if *out != Framing::Document => Some(*out),
            Mode::Events { .. } | Mode::Whole(_) | Mode::Chunks => None,
        }
    }

    /// The framing of what goes out.
    pub(super) fn framing(&self) -> Framing {
        self.outgoing
    }

    /// Bytes that it holds while it waits for more.
    pub(super) fn buffered(&self) -> usize {
        match &self.mode {
            Mode::Whole(buffer) => buffer.len(),
            Mode::Events {
                decoder: Some(decoder),
                ..
            } => decoder.buffered(),
            Mode::Events { decoder: None, .. } | Mode::Chunks => 0,
        }
    }

    /// Whether the head is held back until the body is complete.
    pub(super) fn holds_head(&self) -> bool {
        match &self.mode {
            Mode::Whole(_) => true,
            Mode::Events { out, .. } => *out == Framing::Document,
            Mode::Chunks => false,
        }
    }

    /// Takes a chunk of the body.
    pub(super) async fn accept(
        &mut self,
        stage: &mut Stage,
        context: &mut ExchangeContext,
        chunk: Chunk,
        limits: &Limits,
    ) -> Chunk {
        let last = matches!(chunk.end, End::Last);
        let stopped = match chunk.end {
            End::Stopped(stopped) => Some(stopped),
            End::Open | End::Last => None,
        };
        // Data before a failure still belongs to the response.
        let failed = stopped.as_ref().filter(|stopped| stopped.seen);
        let failed = failed.and_then(|_| context.restore());
        let (mut first, foreign) = self.work(stage, context, chunk.data, last, limits).await;
        let held = self.holds_head();
        let stopped = match (first.end, stopped) {
            (End::Open, Some(stopped)) => {
                if let Some(failed) = failed {
                    context.fail(failed);
                }
                stopped
            }
            // The stage's own stop or end comes first.
            (End::Stopped(stopped), _) if stage.is_shown(&stopped.stop, foreign, held) => stopped,
            (end, _) => {
                first.end = end;
                return first;
            }
        };
        let mut then = self.accept_stop(stage, context, *stopped).await;
        // There is data only if a body was held back, and then there was no output before.
        if then.data.is_empty() {
            then.data = first.data;
        }
        then
    }

    /// What the stage makes of some of the body, and whether the body stops here for a reason outside the stage.
    async fn work(
        &mut self,
        stage: &mut Stage,
        context: &mut ExchangeContext,
        data: Data,
        last: bool,
        limits: &Limits,
    ) -> (Chunk, bool) {
        let mut foreign = false;
        let output = match &mut self.mode {
            Mode::Whole(buffer) => {
                let bytes = data.into_bytes(self.incoming);
                match collect(buffer, &bytes, limits.body) {
                    Ok(()) if last => {
                        let body = std::mem::take(buffer).freeze();
                        call_body(stage, context, body).await
                    }
                    Ok(()) => Chunk::open(Data::default()),
                    Err(failure) => {
                        foreign = true;
                        Chunk::failed(failure)
                    }
                }
            }
            Mode::Chunks => {
                let bytes = data.into_bytes(self.incoming);
                if bytes.is_empty() && !last {
                    Chunk::open(Data::default())
                } else {
                    call_chunk(stage, context, bytes, last).await
                }
            }
            Mode::Events { decoder, out } => {
                let mut stream = EventStage {
                    stage,
                    context,
                    incoming: self.incoming,
                    out: *out,
                    seen: &mut self.seen,
                };
                let mut batches = Batches::new(data, decoder.as_deref_mut(), last);
                let output = stream.take(&mut batches, last).await;
                foreign = batches.failed();
                output
            }
        };
        (output, foreign)
    }

    /// Shows the stage why the body is not complete.
    async fn accept_stop(
        &mut self,
        stage: &mut Stage,
        context: &mut ExchangeContext,
        stopped: Stopped,
    ) -> Chunk {
        if stage.is_finished() {
            return Chunk {
                data: Data::default(),
                end: End::Stopped(Box::new(stopped)),
            };
        }
        stopped.take_place(context);
        let Stopped { stop, shown, .. } = stopped;
        let failure = match stop {
            Stop::Failure(failure) => failure,
            // A reply comes only while no outer stage has seen the head yet.
            Stop::Reply(_) => return Chunk::stopped(Data::default(), stop),
        };
        match &self.mode {
            Mode::Whole(_) => {
                context.response = failure.head();
                let (body, _) = shown.into_whole(self.incoming);
                call_body(stage, context, body).await
            }
            Mode::Chunks => {
                let bytes = shown.into_bytes(self.incoming);
                let output = call_chunk(stage, context, bytes, true).await;
                match output.end {
                    End::Stopped(_) => output,
                    End::Open | End::Last => still(failure, output.data),
                }
            }
            Mode::Events { out, .. } => {
                let out = *out;
                let events = match shown {
                    Data::Events { events, .. } => events,
                    Data::Bytes(bytes) => decoded(self.incoming, bytes),
                };
                // What the stages before made of it goes on, although this one takes it in.
                let taken_in = Data::Events {
                    events: events.clone(),
                    raw: None,
                };
                let batch = Batch {
                    events,
                    raw: Bytes::new(),
                };
                let mut stream = EventStage {
                    stage,
                    context,
                    incoming: self.incoming,
                    out,
                    seen: &mut 0,
                };
                let mut output = StepOutput::default();
                match stream.batch(batch, &mut output).await {
                    Ok(_) if out == Framing::Document => still(failure, taken_in),
                    Ok(_) => still(failure, output.into_data()),
                    Err(stop) => Chunk::stopped(Data::default(), stop),
                }
            }
        }
    }
}

/// The same failure, as the stages so far show it.
fn still(failure: Failure, shown: Data) -> Chunk {
    Chunk {
        data: Data::default(),
        end: End::Stopped(Box::new(Stopped {
            stop: failure.into(),
            shown,
            seen: true,
        })),
    }
}

fn decoding(incoming: Framing, limits: &Limits) -> framing::Limits {
    framing::Limits {
        // A document is one event, so it has the body's limit.
        event_bytes: match incoming {
            Framing::Document => usize::try_from(limits.body).unwrap_or(usize::MAX),
            Framing::Sse | Framing::Ndjson => limits.event,
        },
        batch_events: BATCH_EVENTS,
        batch_bytes: BATCH_BYTES,
    }
}

/// `response.body`
async fn call_body(stage: &mut Stage, context: &mut ExchangeContext, body: Bytes) -> Chunk {
    let bytes = |body| Chunk::last(Data::Bytes(body));
    if stage.is_finished() {
        return bytes(body);
    }
    let result = stage.instance().response_body(context, &body).await;
    let kept = match result {
        Ok(Ok(new)) => match check_replacement(stage.manifest(), new.is_some()) {
            Ok(()) => return bytes(new.map_or(body, Bytes::from)),
            Err(violation) => stage.on_violation(violation),
        },
        Ok(Err(stop)) => return Chunk::stopped(Data::default(), stage.checked_stop(stop)),
        Err(error) => stage.on_error(error),
    };
    kept.map_or_else(Chunk::failed, |()| bytes(body))
}

/// `chunks.chunk`
async fn call_chunk(
    stage: &mut Stage,
    context: &mut ExchangeContext,
    bytes: Bytes,
    last: bool,
) -> Chunk {
    let chunk = |bytes| Chunk {
        data: Data::Bytes(bytes),
        end: if last { End::Last } else { End::Open },
    };
    if stage.is_finished() {
        return chunk(bytes);
    }
    let result = stage.instance().chunk(context, &bytes, last).await;
    let kept = match result {
        Ok(Ok(new)) => match check_replacement(stage.manifest(), new.is_some()) {
            Ok(()) => return chunk(new.map_or(bytes, Bytes::from)),
            Err(violation) => stage.on_violation(violation),
        },
        Ok(Err(fault)) => return Chunk::failed(stage.fault_to_failure(fault)),
        Err(error) => stage.on_error(error),
    };
    kept.map_or_else(Chunk::failed, |()| chunk(bytes))
}
