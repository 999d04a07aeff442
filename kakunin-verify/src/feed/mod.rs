//! Follows a deployment's revocation feed: what a verifier believes of it, and the client that fetches it.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs` | believes what the feed key confirmed, and nothing else: no I/O, no clock |
//! | `events.rs` | server-sent events |
//! | `client.rs` | fetches snapshots and streams, again and again (feature `feed`, as the rest) |
//! | `transport.rs`, `backoff.rs` | HTTP; when to try again |

#[cfg(feature = "feed")]
mod backoff;
#[cfg(feature = "feed")]
mod client;
mod events;
mod follower;
#[cfg(feature = "feed")]
mod transport;

#[cfg(feature = "feed")]
pub use client::{FeedClient, FeedSetupError, FeedState, FeedStatus, Following};
pub use events::{Events, TooLong};
pub use follower::{FollowError, Follower, Progress};
