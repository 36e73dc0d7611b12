//! An attempt until its first byte: how long to wait is one thing, that the model does nothing or the target is gone another.

use std::future::pending;
use std::pin::Pin;

use super::AttemptError;
use super::candidates::Candidate;
use crate::exchange::Exchange;
use crate::exchange::halt::Halt;
use sluicegate_upstream::stall::{Call, Ticket, Verdict};

/// Whether an attempt can be taken back, and who decides that.
pub(super) struct Watched {
    /// `None` if it is not watched.
    ticket: Option<Ticket>,
    /// Is ready when the target is lost; `None` if that does not matter. Boxed because an exchange with one target has none.
    lost: Option<Lost>,
    /// Whether the attempt can be repeated.
    again: bool,
    /// Whether it can be, and another model server is left.
    elsewhere: bool,
}

type Lost = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Watched {
    /// Waits for something from the model server, unless that is stalled or, where another one is left, lost.
    pub(super) async fn wait<T>(
        &mut self,
        something: impl Future<Output = Result<T, Halt>>,
    ) -> Result<T, AttemptError> {
        tokio::select! {
            biased;
            verdict = verdict(&mut self.ticket, self.again, self.elsewhere) => Err(AttemptError::Stalled(verdict)),
            () = lost(&mut self.lost) => Err(AttemptError::Lost),
            something = something => Ok(something?),
        }
    }

    /// Data has arrived: from here on the attempt is not taken back.
    pub(super) fn has_begun(&mut self) {
        self.ticket = None;
        self.lost = None;
    }
}

async fn verdict(ticket: &mut Option<Ticket>, again: bool, elsewhere: bool) -> Verdict {
    match ticket {
        Some(ticket) => ticket.verdict(again, elsewhere).await,
        None => pending().await,
    }
}

async fn lost(lost: &mut Option<Lost>) {
    match lost {
        Some(lost) => lost.await,
        None => pending().await,
    }
}

impl Exchange {
    /// Begins to watch an attempt for a model. Waits while the model is being unloaded. `again` says whether the attempt can be
    /// repeated, `elsewhere` whether another model server is left.
    pub(super) async fn watched(
        &mut self,
        candidate: &Candidate,
        again: bool,
        elsewhere: bool,
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
        let elsewhere = again && elsewhere;
        let watched = Watched {
            ticket,
            lost: (elsewhere && upstream.health.is_some()).then(|| Box::pin(target.lost()) as Lost),
            again,
            elsewhere,
        };
        Ok((call, watched))
    }
}
