//! What a tenant decides over scores, and what its people say of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod approvals;
mod breaker;
mod changes;
mod explained;
mod faults;
mod models;
mod outage;
mod shadow;
mod verdicts;
mod world;
