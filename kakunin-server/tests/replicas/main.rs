//! Several servers over one database, and what breaks: processes, connections, the database, its disk, clocks. Whatever was
//! acknowledged is in the log once, in the place that was told; nobody is let in who was refused elsewhere; all come to the same.
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
#[path = "../database/site.rs"]
#[allow(dead_code, reason = "this binary uses its own part of it")]
mod site;

mod apart;
mod broken;
mod full;
mod load;
mod lost;
mod proxy;
mod replaced;
mod skewed;
mod winners;
mod world;
