//! CRLs as followers of the revocation log: whatever happens in whatever order, what is revoked stays on
//! them, and a fault that would take it off is caught before anybody is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod publishing;
mod random;
mod stores;
mod time;
mod world;
