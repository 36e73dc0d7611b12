//! A stage that sees events: batches go in, and what it returns comes out.

use std::borrow::Cow;

use bytes::Bytes;
use sluicegate_contract::{check_batch, check_end};

use super::chunk::Chunk;
use super::data::{Batches, Data, StepOutput, own};
use super::stage::Stage;
use super::stop::Stop;
use sluicegate_framing::{self as framing, Batch, Framing};
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::wit::EventParam;

/// A stage that sees events, for one input.
pub(super) struct EventStage<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) context: &'a mut ExchangeContext,
    pub(super) incoming: Framing,
    pub(super) out: Framing,
    pub(super) seen: &'a mut u64,
}

impl EventStage<'_> {
    /// Feeds all pending batches to the stage, and then the end of the body if this is the last input.
    pub(super) async fn take(&mut self, batches: &mut Batches<'_>, last: bool) -> Chunk {
        let mut output = StepOutput::default();
        let mut document = None;
        let end = self.run(batches, last, &mut output, &mut document).await;
        let data = document.map_or_else(|| output.into_data(), Data::Bytes);
        match end {
            Ok(true) => Chunk::last(data),
            Ok(false) => Chunk::open(data),
            // Output from before the stop still goes on, so that the client gets the same however the stream was cut into
            // chunks.
            Err(stop) => Chunk::stopped(data, stop),
        }
    }

    /// Whether the body is complete.
    async fn run(
        &mut self,
        batches: &mut Batches<'_>,
        last: bool,
        output: &mut StepOutput,
        document: &mut Option<Bytes>,
    ) -> Result<bool, Stop> {
        let mut ended = false;
        while !ended && let Some(batch) = batches.next()? {
            *self.seen += batch.events.len() as u64;
            ended = self.batch(batch, output).await?;
        }
        if last || ended {
            *document = self.end(output).await?;
        }
        Ok(last || ended)
    }

    /// `events.batch`; true if the stage ends the body.
    pub(super) async fn batch(
        &mut self,
        mut batch: Batch,
        output: &mut StepOutput,
    ) -> Result<bool, Stop> {
        let same = self.incoming == self.out;
        if batch.events.is_empty() {
            return Ok(false);
        }
        if self.stage.is_finished() {
            output.pass(batch, same);
            return Ok(false);
        }
        let view = match params(&batch.events) {
            Some(view) => view,
            None => {
                replace_invalid(&mut batch.events);
                params(&batch.events).unwrap_or_default()
            }
        };
        let result = self.stage.instance().batch(self.context, &view).await;
        let ends = self.context.take_end_body();
        let kept = match result {
            Ok(Ok(new)) => {
                let count = new.as_ref().map(Vec::len);
                match check_batch(self.stage.manifest(), self.out, count) {
                    Ok(()) => {
                        match new {
                            Some(events) => output.replace(events),
                            // With the plan `document` nothing is passed on: the stage collects the events.
                            None if self.out == Framing::Document => {}
                            None => output.pass(batch, same),
                        }
                        return Ok(ends);
                    }
                    Err(violation) => self.stage.on_violation(violation),
                }
            }
            Ok(Err(fault)) => return Err(self.stage.fault_to_failure(fault).into()),
            Err(error) => self.stage.on_error(error),
        };
        kept?;
        output.pass(batch, same);
        Ok(false)
    }

    /// `events.end`: adds last events, or returns the document.
    async fn end(&mut self, output: &mut StepOutput) -> Result<Option<Bytes>, Stop> {
        if self.stage.is_finished() {
            return Ok(None);
        }
        let result = self.stage.instance().end(self.context).await;
        match result {
            Ok(Ok(mut events)) => {
                match check_end(self.stage.manifest(), self.out, events.len()) {
                    Ok(()) if self.out == Framing::Document => {
                        return Ok(events.pop().map(|event| own(event).data));
                    }
                    Ok(()) => output.replace_if_any(events),
                    Err(violation) => self.stage.on_violation(violation)?,
                }
                Ok(None)
            }
            Ok(Err(fault)) => Err(self.stage.fault_to_failure(fault).into()),
            Err(error) => {
                self.stage.on_error(error)?;
                Ok(None)
            }
        }
    }
}

/// The events as a stage sees them, or `None` if the data of one is not UTF-8.
fn params(events: &[framing::Event]) -> Option<Vec<EventParam<'_>>> {
    let mut params = Vec::with_capacity(events.len());
    for event in events {
        params.push(EventParam {
            name: &event.name,
            data: std::str::from_utf8(&event.data).ok()?,
            id: event.id.as_deref(),
        });
    }
    Some(params)
}

/// Replaces what is not UTF-8, as SSE prescribes.
fn replace_invalid(events: &mut [framing::Event]) {
    for event in events {
        if let Cow::Owned(text) = String::from_utf8_lossy(&event.data) {
            event.data = text.into();
        }
    }
}
