//! Issuing CAs that follow each other, belong to one tenant, or stand under a root that is kept elsewhere.
//! The openssl command decides whom a relying party accepts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod following;
mod offline;
mod rotation;
mod tenants;
mod world;
