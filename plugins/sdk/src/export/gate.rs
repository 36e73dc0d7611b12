//! A gate as a component.

use std::marker::PhantomData;

use super::{Slot, configure};
use crate::action::Verdict;
use crate::bindings::gate::exports::sluicegate::plugin::gate as wit;
use crate::bindings::{gate as world, imports::exchange_context};
use crate::context::Context;
use crate::role::Gate;

/// The component around a gate.
#[derive(Debug)]
pub struct GateComponent<G>(PhantomData<G>);

impl<G: Gate + Slot> world::Guest for GateComponent<G> {
    fn describe() -> String {
        G::manifest().to_json()
    }

    fn configure(config: String) -> Result<String, String> {
        configure(&config, G::configure)
    }
}

impl<G: Gate + Slot> wit::Guest for GateComponent<G> {
    fn check(ctx: &exchange_context::Context) -> wit::Verdict {
        match G::rule().check(&Context::new(ctx)) {
            Ok(Verdict::Allow) => wit::Verdict::Allow,
            Ok(Verdict::Reply(reply)) => wit::Verdict::Reply(reply),
            Err(fault) => wit::Verdict::Fail(fault),
        }
    }
}
