//! The inbox: what is told and how often, what each person has read of it, and that a long one costs no more than a short one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;

mod expiring;
mod long;
mod marks;
mod told;
mod world;
