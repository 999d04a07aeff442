//! What followers believe of a feed: everything that the deployment says, and nothing that it could not say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod known;
mod pasts;
mod recovered;
mod refused;
mod world;
