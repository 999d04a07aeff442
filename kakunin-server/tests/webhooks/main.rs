//! Webhooks as the server sends them: over HTTP, to receivers that others wrote, and across its own death.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;

mod api;
mod command;
mod killed;
mod peers;
mod receiver;
mod secured;
mod slow;
