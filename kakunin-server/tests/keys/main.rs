//! The server with its keys in a KMS and in an HSM: what it does when they are down, and that no key of theirs
//! is to be found with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../../../kakunin-kms/tests/kms/mod.rs"]
mod kms;

mod failing;
mod hsm;
mod secrets;
mod world;
