//! Who writes the database by the `sqlite3` command, with the server stopped or running: it changes nothing, it is
//! named, counted, and `readyz` says so; or the start is refused with what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;

mod logs;
mod schema;
mod scores;
mod state;
mod world;
