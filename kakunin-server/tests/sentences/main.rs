//! What the binary says of what is wrong: what was given, and what to write; never in the words of a library.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;

mod events;
mod options;
mod tls;
mod words;
