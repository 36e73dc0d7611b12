//! The gateway: what happens to a request between a client and a model server.
//!
//! Dependencies point down: [`lifecycle`] → [`admin`] → [`exchange`] → [`snapshot`] → [`route`] → [`pipeline`] → [`failure`]. To
//! see what happens to a request, begin with [`exchange`].

pub mod admin;
pub mod descriptors;
pub mod exchange;
pub mod failure;
pub mod journal;
pub mod lifecycle;
pub mod listeners;
pub mod models;
pub mod pipeline;
pub mod reload;
pub mod route;
pub mod snapshot;
pub mod supply;
pub mod versions;
