//! An observer as a component.

use std::marker::PhantomData;

use super::{Slot, configure};
use crate::bindings::observer as world;
use crate::bindings::observer::exports::sluicegate::plugin::observer as wit;
use crate::role::Observer;
use crate::summary::Summary;

/// The component around an observer.
#[derive(Debug)]
pub struct ObserverComponent<O>(PhantomData<O>);

impl<O: Observer + Slot> world::Guest for ObserverComponent<O> {
    fn describe() -> String {
        O::manifest().to_json()
    }

    fn configure(config: String) -> Result<String, String> {
        configure(&config, O::configure)
    }
}

impl<O: Observer + Slot> wit::Guest for ObserverComponent<O> {
    fn observe(batch: Vec<wit::Summary>) {
        let batch: Vec<Summary> = batch.into_iter().map(summary).collect();
        O::rule().observe(&batch);
        // The sandbox goes as a whole; to give its pieces back one by one would cost as much as a line of log.
        std::mem::forget(batch);
    }
}

fn summary(from: wit::Summary) -> Summary {
    Summary {
        id: from.id,
        route: from.route,
        method: from.method,
        path: from.path,
        client: from.client,
        status: from.status,
        error: from.error,
        cancelled: from.cancelled,
        target: from.target,
        attempts: from.attempts,
        request_bytes: from.request_bytes,
        response_bytes: from.response_bytes,
        events: from.events,
        duration_us: from.duration_us,
        first_byte_us: from.first_byte_us,
        overhead_us: from.overhead_us,
        notes: from.notes,
    }
}
