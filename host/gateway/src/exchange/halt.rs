//! Why an exchange does not go on as it should.

use super::connection::Interrupt;
use super::deadlines::Expired;
use crate::failure::{Failure, Kind};
use crate::pipeline::Stop;

/// Ends the steps of an exchange early.
pub(super) enum Halt {
    /// The client gets this in place of the response.
    Stop(Stop),
    /// The client has left: nobody is there to get a response.
    Gone,
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Stop(failure.into())
    }
}

impl From<Interrupt> for Halt {
    fn from(why: Interrupt) -> Self {
        match why {
            Interrupt::Gone => Self::Gone,
            Interrupt::Total(limit) => too_late(Expired::Total(limit)).into(),
            Interrupt::Shutdown => shutting_down().into(),
            Interrupt::Replaced => version_drained().into(),
        }
    }
}

/// The error when the gateway stops before the exchange has ended.
fn shutting_down() -> Failure {
    let message = "The gateway is stopping. Try again in a moment.";
    Failure::new(Kind::ShuttingDown, message).with_field("retry-after", "1")
}

/// The error when a plugin version that the exchange holds was replaced, and is not kept any longer.
fn version_drained() -> Failure {
    let message = "A plugin was replaced, and its old version has to end. Try again.";
    Failure::new(Kind::VersionDrained, message).with_field("retry-after", "1")
}

/// The error when the model server, or the whole exchange, took too long.
pub(super) fn too_late(expired: Expired) -> Failure {
    match expired {
        Expired::FirstByte(limit) => Failure::new(
            Kind::UpstreamFirstByteTimeout,
            format!("The model server did not begin to answer within {limit:?}."),
        ),
        Expired::Idle(limit) => Failure::new(
            Kind::UpstreamIdleTimeout,
            format!("The model server sent nothing for {limit:?}."),
        ),
        Expired::Total(limit) => Failure::new(
            Kind::UpstreamTotalTimeout,
            format!("The exchange took longer than {limit:?}."),
        ),
        Expired::Heartbeat | Expired::Abandoned => Failure::new(
            Kind::Internal,
            "The model server is not what took too long.",
        ),
    }
}
