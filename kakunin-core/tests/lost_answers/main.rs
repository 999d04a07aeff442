//! Answers that never arrive: the same request gets the same certificate, and the one before it stands meanwhile;
//! whatever takes an agent's trust away takes both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod grace;
mod keys;
mod repeats;
mod trust;
mod world;
