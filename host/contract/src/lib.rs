//! The rules of the plugin contract: what a stage may change and when, which results are legal, and what the gateway reads
//! from a request by itself.
//!
//! Pure: no engine, no connection, no clock. The gateway enforces these rules on components, the SDK's test bench on native
//! code; `wit/` describes them for plugin authors. Each rule is here and nowhere else.

pub mod canonical;
pub mod capability;
pub mod context;
mod error;
pub mod fields;
mod framing;
mod illegal_change;
pub mod json;
mod manifest;
mod notes;
pub mod path;
mod phase;
mod rules;
pub mod share;

pub use context::{Context, Head, Identity};
pub use error::error_body;
pub use framing::Framing;
pub use illegal_change::IllegalChange;
pub use manifest::{Adapter, Manifest, SuggestedLimits};
pub use notes::Notes;
pub use phase::Phase;
pub use rules::{
    Exports, RequestPlan, ResponsePlan, Violation, check_batch, check_end, check_fault,
    check_replacement, check_reply, check_request_body, check_response_plan,
};
