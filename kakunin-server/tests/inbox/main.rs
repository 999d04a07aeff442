//! The inbox over HTTP: pages, marks, the stream of what is new, and the command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod pages;
mod stream;
mod world;
