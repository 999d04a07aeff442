//! Follows the revocation feed of a deployment, so that a revocation is seen here within the second.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs` | one issuing CA's revocation log: believes the feed key and nothing else; no I/O, no clock |
//! | `client.rs`, `events.rs` | fetches it over HTTP, again and again |
//!
//! What is published into the [`RevocationHandle`](crate::RevocationHandle) is what a checkpoint confirms that
//! the feed key cosigned with a time; a verifier denies once that time is older than its policy says. So a feed
//! that is cut, held back, replayed or forked ends in refusals, and never in somebody being let in.

mod client;
mod events;
mod follower;

pub use client::{FeedClient, FeedOptions, FeedSetupError, FeedState};
pub use follower::{FollowError, Followed, Follower};
