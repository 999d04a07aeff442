//! Evidence is not got rid of: not by renewal, not by another reporter, not by the event beside it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod reinstatement;
mod renewal;
mod reporters;
mod world;
