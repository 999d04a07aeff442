//! Whoever looks for few among many finds each of them, at the cost of few reads: by agent, certificate, kind, outcome,
//! score and time, in either order, wherever the index is, and whatever somebody did to it.

// It takes minutes with the portable algorithms, and does not depend on them.
#![cfg(feature = "aws-lc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod damage;
mod naive;
mod random;
mod store;
mod world;
