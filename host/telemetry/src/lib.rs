//! Logs and metrics for operators, and the ids and times in them.
//!
//! Responsible for their form and their names. Not responsible for what is logged and counted: that is decided where it
//! happens.

pub mod clock;
pub mod log;
pub mod metrics;
pub mod names;
pub mod request_id;
