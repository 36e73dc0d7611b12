//! An attempt under stall detection, until its first byte.

use std::future::pending;

use super::AttemptError;
use super::candidates::Candidate;
use crate::exchange::Exchange;
use crate::exchange::halt::Halt;
use sluicegate_upstream::stall::{Call, Ticket, Verdict};

/// Whether an attempt can be taken back, and who decides that.
pub(super) struct Watched {
    /// `None` if it is not watched.
    ticket: Option<Ticket>,
    /// Whether the attempt can be repeated.
    pub(super) again: bool,
    /// Whether another model server is left.
    pub(super) elsewhere: bool,
}

impl Watched {
    /// Waits for something from the model server, unless that is stalled.
    pub(super) async fn wait<T>(
        &mut self,
        something: impl Future<Output = Result<T, Halt>>,
    ) -> Result<T, AttemptError> {
        tokio::select! {
            biased;
            verdict = self.verdict() => Err(AttemptError::Stalled(verdict)),
            something = something => Ok(something?),
        }
    }

    /// Data has arrived: from here on the attempt is not taken back.
    pub(super) fn has_begun(&mut self) {
        self.ticket = None;
    }

    async fn verdict(&mut self) -> Verdict {
        match &mut self.ticket {
            Some(ticket) => ticket.verdict(self.again, self.elsewhere).await,
            None => pending().await,
        }
    }
}

impl Exchange {
    /// Begins to watch an attempt for a model. Waits while the model is being unloaded.
    pub(super) async fn watched(
        &mut self,
        candidate: &Candidate,
    ) -> Result<(Option<Call>, Watched), Halt> {
        let (upstream, target) = (&candidate.upstream, &candidate.target);
        let model = candidate
            .model
            .as_deref()
            .or_else(|| self.context.note("model"));
        let model = model.and_then(|json| serde_json::from_str::<String>(json).ok());
        let begun = match model {
            Some(model) => self.wait(upstream.begin_call(target, &model)).await?,
            None => None,
        };
        let (call, ticket) = begun.unzip();
        let watched = Watched {
            ticket,
            again: false,
            elsewhere: false,
        };
        Ok((call, watched))
    }
}
