//! The log says what happened: state that is lost, late or half written comes back from it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod anew;
mod callers;
mod issuance;
mod model;
mod projection;
mod rebuilt;
mod shapes;
mod snapshots;
mod states;
mod world;
