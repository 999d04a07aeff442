//! The file under attack: what somebody can do by SQL, and what its owner can do to it; what a start says, what is seen
//! while it runs, and what somebody sees who verifies the log. Also what is seen only against something kept elsewhere.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod guarded;
mod owned;
mod recovered;
mod sql;
mod world;
