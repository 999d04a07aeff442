//! What was taken away stays away: a halt, a hold or a revocation voids what is under way, and nothing but an order by
//! name, with a reason, lets the agent work again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod begun;
mod names;
mod orders;
mod tokens;
mod world;
