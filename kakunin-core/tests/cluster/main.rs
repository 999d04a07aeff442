//! Several processes over one store: what one does the others know, nothing is decided twice, and whoever is gone is done
//! without.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod beginnings;
mod duties;
mod known;
mod member;
mod random;
mod winners;
mod world;
