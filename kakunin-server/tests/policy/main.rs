//! What a tenant decides over scores, and what its people make of them, over the HTTP API and by commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod approvals;
mod audit;
#[path = "../binary/mod.rs"]
mod binary;
mod breaker;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod numbers;
mod policies;
mod verdicts;
mod world;
