//! Follows a deployment's revocation feed: what a verifier believes of it, and the client that fetches it.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs` | believes what the feed key confirmed, and nothing else: no I/O, no clock |
//! | `client.rs` | fetches snapshots and streams, again and again |
//! | `transport.rs`, `events.rs` | HTTP, server-sent events |
//! | `backoff.rs` | when to try again |

mod backoff;
mod client;
mod events;
mod follower;
mod transport;

pub use client::{FeedClient, FeedSetupError, FeedState, FeedStatus, Following};
pub use events::{Events, TooLong};
pub use follower::{FollowError, Follower, Progress};
