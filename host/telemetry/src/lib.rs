//! What the gateway tells its operators: logs and metrics, and the ids and times in them.
//!
//! Responsible for their form and their names. Not responsible for what is logged or counted where: that is beside what happens.

pub mod clock;
pub mod log;
pub mod metrics;
pub mod names;
pub mod request_id;
