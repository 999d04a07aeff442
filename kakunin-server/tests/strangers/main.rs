//! Strangers who hold on to what they have: connections, streams, bodies, addresses. Whatever it is ends by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod connections;
mod h2;
mod memory;
mod streams;

use std::time::Duration;

use kakunin_server::serve::Patience;

const SECOND: Duration = Duration::from_secs(1);

/// Patience that a test can wait for.
fn short() -> Patience {
    Patience { head: SECOND, idle: 3 * SECOND, stall: SECOND }
}
