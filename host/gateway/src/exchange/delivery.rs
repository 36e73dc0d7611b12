//! Delivers the output of the stages to the client, and waits for the model server in between.

use std::pin::pin;

use super::Exchange;
use super::deadlines::Expired;
use super::halt::{Halt, too_late};
use crate::pipeline::{End, Output};
use sluicegate_framing::Framing;

impl Exchange {
    /// Delivers the output of the stages; true if it was the last.
    pub(super) async fn deliver(
        &mut self,
        output: Output,
        announced: Option<u64>,
    ) -> Result<bool, Halt> {
        self.record.events = self.events();
        for report in self.stages.take_failures() {
            self.record.fail(&report);
        }
        let Output { data, framing, end } = output;
        let whole_events = self.stages.batches().is_some();
        let bytes = data.into_bytes(framing);
        let (client, record, context) = (&mut self.client, &mut self.record, &mut self.context);
        let (written, is_last) = match end {
            End::Open if bytes.is_empty() => return Ok(false),
            End::Open => {
                let write = client.write_chunk(record, context, bytes, announced, whole_events);
                (write.await, false)
            }
            End::Last => {
                let written = client.finish(record, context, bytes).await;
                if let Some(abandoned) = &mut self.abandoned {
                    abandoned.finish();
                }
                (written, true)
            }
            End::Stopped(stopped) => {
                let mut written = Ok(());
                if !bytes.is_empty() {
                    context.restore();
                    let write = client.write_chunk(record, context, bytes, announced, whole_events);
                    written = write.await;
                }
                if written.is_ok() {
                    written = client.fail(record, context, *stopped, framing).await;
                }
                (written, true)
            }
        };
        match written {
            Ok(()) => {}
            // There is nothing left to go on with.
            Err(why) if is_last => return Err(why.into()),
            Err(why) => self.interrupted(why)?,
        }
        self.deadlines.sent();
        Ok(is_last)
    }

    /// Events that came from the model server, as far as an adapter or a stage looked at them.
    pub(super) fn events(&self) -> u64 {
        match &self.adapter {
            Some(adapter) => adapter.events(),
            None => self.stages.events(),
        }
    }

    /// Waits for the model server while the client stays and the deadlines allow, and sends heartbeats meanwhile.
    pub(super) async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Halt> {
        let mut future = pin!(future);
        loop {
            let expired = tokio::select! {
                biased;
                why = self.client.interrupted() => {
                    self.interrupted(why)?;
                    continue;
                }
                value = &mut future => return Ok(value),
                expired = self.deadlines.next() => expired,
            };
            match expired {
                Expired::Heartbeat => {
                    let (record, context) = (&mut self.record, &mut self.context);
                    let sent = self.client.heartbeat(record, context).await;
                    sent.or_else(|why| self.interrupted(why))?;
                    self.deadlines.sent();
                }
                Expired::Abandoned => return Err(Halt::Gone),
                expired => return Err(too_late(expired).into()),
            }
        }
    }

    /// Heartbeats are sent if the client has, or will have, a stream of server-sent events.
    pub(super) fn set_heartbeat(&mut self) {
        let streams = match self.client.framing() {
            Some(framing) => framing == Framing::Sse,
            None => !self.stages.holds_head() && self.stages.framing(&self.context) == Framing::Sse,
        };
        let heartbeat = self.server.heartbeat.filter(|_| streams);
        self.deadlines.set_heartbeat(heartbeat);
    }
}
