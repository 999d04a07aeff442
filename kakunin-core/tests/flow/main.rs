//! The main job, step by step, over the in-memory store and real keys.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod keys;
mod life;
mod log;
mod risk;
mod world;
