//! HTTP as the RFCs have it: validators, forms, hosts, methods, challenges, and members that nobody knows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod asking;
mod challenges;
mod description;
mod forms;
mod heads;
mod refused;
mod routes;
