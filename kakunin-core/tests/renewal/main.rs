//! Requests of workloads that keep their keys: joining, renewing, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod keys;
mod own;
mod record;
mod tokens;
mod world;
