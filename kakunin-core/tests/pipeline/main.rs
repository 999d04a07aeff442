//! Events are decided while those before them are written: nobody is told, and nobody sees, what is not durable, and what
//! was decided on a write that failed is decided anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod ahead;
mod any_order;
mod gate;
mod late;
mod queue;
