//! Who may run now, and who is next: a bounded number of runs, shared fairly between users.
//!
//! When all slots are taken, users take turns: one who wants ten runs delays another who wants one by at most one run.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All slots of a gateway.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
    total: usize,
    per_user: usize,
    waiting_per_user: usize,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    by_user: HashMap<String, usize>,
    /// Users with waiting runs, next first; each has a queue of its own.
    turns: VecDeque<(String, VecDeque<Waiter>)>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    go: oneshot::Sender<Slot>,
    observer: Arc<dyn QueueObserver>,
}

/// Is told when a place in the queue changes.
pub(crate) trait QueueObserver: Send + Sync + std::fmt::Debug {
    /// The place is now `place`, from 1. Called under a lock: must not block.
    fn moved(&self, place: usize);
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    user: String,
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    slots: Arc<Slots>,
    ticket: u64,
    user: String,
    go: oneshot::Receiver<Slot>,
}

/// The result of asking for a slot.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A slot.
    Now(Slot),
    /// A place in the queue, from 1.
    Later(Ticket, usize),
    /// Too many of this user's runs wait already.
    Full,
}

impl Slots {
    /// `total` slots, of which one user can have `per_user`; at most `waiting_per_user` of a user's runs can wait.
    pub(crate) fn new(total: usize, per_user: usize, waiting_per_user: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            total: total.max(1),
            per_user: per_user.max(1),
            waiting_per_user,
        })
    }

    /// Asks for a slot.
    pub(crate) fn enter(self: &Arc<Self>, user: &str, observer: Arc<dyn QueueObserver>) -> Entry {
        let mut state = self.state();
        if state.free(self, user) && !state.waits(user) {
            state.start(user);
            return Entry::Now(Slot {
                slots: Arc::clone(self),
                user: user.to_owned(),
            });
        }
        if state
            .turns
            .iter()
            .find(|(name, _)| name == user)
            .is_some_and(|(_, own)| own.len() >= self.waiting_per_user)
        {
            return Entry::Full;
        }
        let (go, gone) = oneshot::channel();
        let ticket = state.next;
        state.next += 1;
        let waiter = Waiter {
            ticket,
            go,
            observer,
        };
        match state.turns.iter_mut().find(|(name, _)| name == user) {
            Some((_, own)) => own.push_back(waiter),
            None => state
                .turns
                .push_back((user.to_owned(), VecDeque::from([waiter]))),
        }
        let place = state.place(ticket);
        drop(state);
        Entry::Later(
            Ticket {
                slots: Arc::clone(self),
                ticket,
                user: user.to_owned(),
                go: gone,
            },
            place,
        )
    }

    /// How many run, and how many wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (
            state.running,
            state.turns.iter().map(|(_, own)| own.len()).sum(),
        )
    }

    /// Gives free slots to the next in the queue, and tells the others their new place.
    fn settle(self: &Arc<Self>) {
        loop {
            let (go, user) = {
                let mut state = self.state();
                let Some(turn) = state
                    .turns
                    .iter()
                    .position(|(user, _)| state.free(self, user))
                else {
                    state.notify();
                    return;
                };
                let Some((user, mut own)) = state.turns.remove(turn) else {
                    return;
                };
                let Some(waiter) = own.pop_front() else {
                    continue;
                };
                if !own.is_empty() {
                    // To the end of the queue: that makes it fair.
                    state.turns.push_back((user.clone(), own));
                }
                state.start(&user);
                (waiter.go, user)
            };
            // Sent without holding the lock: if nobody waits any more, the slot is dropped here, which locks again.
            drop(go.send(Slot {
                slots: Arc::clone(self),
                user,
            }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn free(&self, slots: &Slots, user: &str) -> bool {
        self.running < slots.total && self.by_user.get(user).copied().unwrap_or(0) < slots.per_user
    }

    fn waits(&self, user: &str) -> bool {
        self.turns.iter().any(|(name, _)| name == user)
    }

    fn start(&mut self, user: &str) {
        self.running += 1;
        *self.by_user.entry(user.to_owned()).or_default() += 1;
    }

    /// Waiting runs in the order in which they will start: one of each user per round.
    fn order(&self) -> Vec<&Waiter> {
        let longest = self
            .turns
            .iter()
            .map(|(_, own)| own.len())
            .max()
            .unwrap_or(0);
        (0..longest)
            .flat_map(|round| self.turns.iter().filter_map(move |(_, own)| own.get(round)))
            .collect()
    }

    fn place(&self, ticket: u64) -> usize {
        self.order()
            .iter()
            .position(|waiter| waiter.ticket == ticket)
            .map_or(1, |at| at + 1)
    }

    fn notify(&self) {
        for (at, waiter) in self.order().into_iter().enumerate() {
            waiter.observer.moved(at + 1);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.slots.state();
            state.running = state.running.saturating_sub(1);
            if let Some(count) = state.by_user.get_mut(&self.user) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.by_user.remove(&self.user);
                }
            }
        }
        self.slots.settle();
    }
}

impl Ticket {
    /// Waits for the slot.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub(crate) async fn wait(mut self) -> Slot {
        match (&mut self.go).await {
            Ok(slot) => slot,
            // The sender lives in the queue until it is used.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        let Some(turn) = state.turns.iter().position(|(user, _)| *user == self.user) else {
            return;
        };
        let own = &mut state.turns[turn].1;
        let before = own.len();
        own.retain(|waiter| waiter.ticket != self.ticket);
        let left = own.len() < before;
        if own.is_empty() {
            state.turns.remove(turn);
        }
        if left {
            state.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug, Default)]
    struct Place(AtomicUsize);

    impl QueueObserver for Place {
        fn moved(&self, place: usize) {
            self.0.store(place, Ordering::Relaxed);
        }
    }

    fn enter(slots: &Arc<Slots>, user: &str) -> (Entry, Arc<Place>) {
        let place = Arc::new(Place::default());
        let told = Arc::clone(&place);
        (slots.enter(user, told), place)
    }

    fn now(slots: &Arc<Slots>, user: &str) -> Slot {
        match enter(slots, user).0 {
            Entry::Now(slot) => slot,
            other @ (Entry::Later(..) | Entry::Full) => {
                panic!("{user} should have a slot, got {other:?}")
            }
        }
    }

    fn later(slots: &Arc<Slots>, user: &str) -> (Ticket, usize, Arc<Place>) {
        match enter(slots, user) {
            (Entry::Later(ticket, at), place) => (ticket, at, place),
            (other @ (Entry::Now(_) | Entry::Full), _) => {
                panic!("{user} should wait, got {other:?}")
            }
        }
    }

    #[tokio::test]
    async fn users_take_turns_however_much_one_of_them_wants() {
        let slots = Slots::new(1, 1, 10);
        let first = now(&slots, "ann");
        let (a1, at1, _) = later(&slots, "ann");
        let (a2, at2, place2) = later(&slots, "ann");
        let (b1, at3, placeb) = later(&slots, "bob");
        assert_eq!((at1, at2), (1, 2));
        assert_eq!(at3, 2, "bob comes before ann's second");
        drop(first);
        let slot = a1.wait().await;
        assert_eq!(
            (
                placeb.0.load(Ordering::Relaxed),
                place2.0.load(Ordering::Relaxed)
            ),
            (1, 2)
        );
        drop(slot);
        drop(b1.wait().await);
        drop(a2.wait().await);
        assert_eq!(slots.load(), (0, 0));
    }

    #[tokio::test]
    async fn a_user_at_the_own_limit_does_not_block_others() {
        let slots = Slots::new(3, 1, 10);
        let ann = now(&slots, "ann");
        let (again, _, _) = later(&slots, "ann");
        let bob = now(&slots, "bob");
        assert_eq!(slots.load(), (2, 1));
        drop(ann);
        drop(again.wait().await);
        drop(bob);
        assert_eq!(slots.load(), (0, 0));
    }

    #[test]
    fn the_queue_of_a_user_is_bounded() {
        let slots = Slots::new(1, 1, 1);
        let _slot = now(&slots, "ann");
        let _ticket = later(&slots, "ann");
        assert!(matches!(enter(&slots, "ann").0, Entry::Full));
        let _bob = later(&slots, "bob");
    }

    #[test]
    fn leaving_the_queue_moves_the_others_up_and_a_slot_for_nobody_comes_back() {
        let slots = Slots::new(1, 1, 10);
        let first = now(&slots, "ann");
        let (bob, _, _) = later(&slots, "bob");
        let (carl, at, place) = later(&slots, "carl");
        assert_eq!(at, 2);
        drop(bob);
        assert_eq!(place.0.load(Ordering::Relaxed), 1);
        drop(first);
        assert_eq!(
            slots.load(),
            (1, 0),
            "carl has it, though he did not look yet"
        );
        drop(carl);
        assert_eq!(slots.load(), (0, 0));
        drop(now(&slots, "dora"));
    }
}
