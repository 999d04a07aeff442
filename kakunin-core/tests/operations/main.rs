//! What operators do to agents: change, renew, halt, sign; keys of the API; and what readers see of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod halts;
mod records;
mod world;
