//! The contract's own types, as generated from `wit/`.

pub use super::bindings::exports::sluicegate::plugin::observer::Summary;
pub use super::bindings::exports::sluicegate::plugin::request::Plan as RequestPlan;
pub use super::bindings::exports::sluicegate::plugin::response::Plan as ResponsePlan;
pub use super::bindings::sluicegate::plugin::types::{
    EventParam, EventResult, Fault, Field, Reply, Stop,
};
