//! Proof of possession by signed requests: what proves it, once, and what does not.

#![cfg(feature = "possession")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod agents;
mod content;
mod profile;
mod replay;
mod shares;
