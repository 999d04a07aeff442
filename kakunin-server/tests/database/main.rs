//! Servers over one PostgreSQL database, started as operators do; and a deployment that moves there from a folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../../../kakunin-core/tests/shared/cluster.rs"]
mod cluster;
mod moved;
mod refused;
mod several;
mod silent;
mod site;
