//! The API: shapes, roles, tenants, and everything that can be sent to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod keys;
mod life;
mod public;
mod refused;
mod searches;
