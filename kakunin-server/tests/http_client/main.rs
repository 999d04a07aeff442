//! The one HTTP client, against servers and proxies that do what they should not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
mod bounded;
mod followed;
mod peers;
mod proxied;
mod redirected;
mod secured;
