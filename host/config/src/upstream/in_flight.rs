//! `max-in-flight` and `queue` of an upstream: how much one target is given at a time, and who waits for it.

use std::time::Duration;

use crate::reader::Table;

/// How many attempts wait for one target by default. Arbitrary; some rounds of a model server that computes eight at a time.
const QUEUE: usize = 64;

/// How long one waits by default. Clients of chats see nothing meanwhile.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much one target is given at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The most attempts at one target at a time; at least 1.
    pub max: usize,
    /// The most attempts that wait for one target; default 64, 0: none.
    pub queue: usize,
    /// How long an attempt waits; default 30 s.
    pub timeout: Duration,
}

/// `None` if a target is given whatever comes.
pub(super) fn read(upstream: &Table<'_>) -> Option<InFlight> {
    let max = upstream.count("max-in-flight");
    let queue = upstream.section("queue");
    let (size, timeout) = (queue.get("size"), queue.duration("timeout"));
    let size = size.and_then(|value| value.whole_number());
    queue.finish();
    if upstream.get("max-in-flight").is_none() && queue.is_present() {
        upstream.cx.problem(
            &queue.place,
            "is never used without a limit",
            "add max-in-flight = … to the upstream, or remove the queue",
        );
    }
    Some(InFlight {
        max: max?,
        queue: size.unwrap_or(QUEUE),
        timeout: timeout.unwrap_or(TIMEOUT),
    })
}
