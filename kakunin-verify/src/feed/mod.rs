//! Follows a deployment's revocation feed: what a verifier believes of it, and the client that fetches it.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs` | believes what the feed key confirmed, and nothing else: no I/O, no clock |
//! | `events.rs` | server-sent events |
//! | `client.rs` | whom to follow, and how it stands (feature `feed`, as the rest) |
//! | `follow.rs` | fetches snapshots and streams, again and again |
//! | `broken.rs` | why there is no connection, in words |
//! | `discover.rs` | learns which issuing CAs there are |
//! | `transport.rs`, `backoff.rs` | HTTP; when to try again |

#[cfg(feature = "feed")]
mod backoff;
#[cfg(feature = "feed")]
mod broken;
#[cfg(feature = "feed")]
mod client;
#[cfg(feature = "feed")]
mod discover;
mod events;
#[cfg(feature = "feed")]
mod follow;
mod follower;
#[cfg(feature = "feed")]
mod transport;

#[cfg(feature = "feed")]
pub use broken::broken;
#[cfg(feature = "feed")]
pub use client::{FeedClient, FeedSetupError, FeedState, FeedStatus, Following};
#[cfg(feature = "feed")]
pub use discover::LOOK;
pub use events::{Events, TooLong};
pub use follower::{FollowError, Follower, Progress};
