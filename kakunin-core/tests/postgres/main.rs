//! The PostgreSQL store: through the suites that any store must pass, with others beside it, under attack, and in crashes.

#![cfg(all(feature = "postgres", feature = "conformance"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../shared/cluster.rs"]
mod cluster;
mod crashed;
mod encrypted;
mod full;
mod logs;
mod measured;
mod opened;
mod several;
mod silent;
mod suites;
mod tampered;
mod turns;
