//! The connection's end of an exchange.

use std::sync::Arc;

use super::finishing::Finishing;
use super::slot::{Interrupt, Slot, lock};

/// The connection's end of an exchange. Dropping it tells the exchange that the client has left, if it has not ended.
pub(super) struct ExchangeHandle {
    pub(super) slot: Arc<Slot>,
    pub(super) finishing: Finishing,
    /// Its number there.
    pub(super) number: u64,
}

impl Drop for ExchangeHandle {
    fn drop(&mut self) {
        self.finishing.forget(self.number);
        let drive = lock(&self.slot.drive).take();
        let mut state = self.slot.state();
        state.interrupt = Some(Interrupt::Gone);
        // An exchange that was taken out may be waiting for this connection.
        if let Some(exchange) = state.exchange.take() {
            exchange.wake();
        }
        drop(state);
        if let Some(drive) = drive {
            self.finishing.finish(drive);
        }
    }
}
