//! Two that run over one store: what one orders, the other knows once it has read on, without being opened again; and
//! neither decides on what the other has changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod failing;
mod orders;
mod random;
mod world;
