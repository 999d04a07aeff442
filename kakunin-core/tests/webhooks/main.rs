//! Webhooks: told at least once, never invented, in order for each agent; and nobody waits for a bad receiver.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;
mod failing;
mod orders;
mod secrets;
mod stores;
mod told;
mod world;
