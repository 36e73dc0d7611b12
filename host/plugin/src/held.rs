//! What the stages of an exchange have reserved and not settled.

use std::sync::Arc;

use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::rate::Limit;
use sluicegate_state::shared::Space;

/// The most reservations of an exchange, as in `wit/capabilities.wit`.
const RESERVATIONS: usize = 64;

/// The reservations of an exchange, or of an attempt. What is left when it is dropped is given back.
#[derive(Debug, Default)]
pub(super) struct Held {
    reservations: Vec<Reservation>,
    /// The last ticket that was given.
    last: u64,
}

#[derive(Debug)]
struct Reservation {
    ticket: u64,
    space: Arc<dyn Space>,
    /// Those that are not settled.
    limits: Vec<Limit>,
}

impl Held {
    /// # Errors
    /// [`Error::OverLimit`] if there are too many.
    pub(super) fn has_room(&self) -> Result<(), Error> {
        if self.reservations.len() < RESERVATIONS {
            Ok(())
        } else {
            Err(Error::OverLimit)
        }
    }

    /// Notes a reservation, and returns its ticket.
    pub(super) fn add(&mut self, space: &Arc<dyn Space>, limits: Vec<Limit>) -> u64 {
        self.last += 1;
        self.reservations.push(Reservation {
            ticket: self.last,
            space: space.clone(),
            limits,
        });
        self.last
    }

    /// Takes the limits of this name out of a reservation that was made in this space: they are to be settled.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none.
    pub(super) fn take(
        &mut self,
        space: &Arc<dyn Space>,
        ticket: u64,
        name: &str,
    ) -> Result<Vec<Limit>, Error> {
        let mut reservations = self.reservations.iter_mut();
        let found = reservations.find(|it| it.ticket == ticket && Arc::ptr_eq(&it.space, space));
        let limits = &mut found.ok_or(Error::Invalid)?.limits;
        let taken: Vec<Limit> = limits.extract_if(.., |limit| limit.name == name).collect();
        if limits.is_empty() {
            self.reservations.retain(|it| it.ticket != ticket);
        }
        if taken.is_empty() {
            return Err(Error::Invalid);
        }
        Ok(taken)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for Reservation { space, limits, .. } in self.reservations.drain(..) {
            space.give_back(limits);
        }
    }
}
