//! Follows a deployment's revocation feed: what a verifier believes of it, and the client that fetches it.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs` | believes what the feed key confirmed, and nothing else: no I/O, no clock |
//! | `events.rs` | server-sent events |
//! | `client.rs`, `crew.rs`, `board.rs` | whom to follow, who does, and how it stands (feature `feed`, as the rest) |
//! | `follow.rs` | fetches snapshots and streams, again and again |
//! | `discover.rs` | learns which issuing CAs there are |
//! | `transport.rs`, `setup.rs`, `backoff.rs` | requests to the feed; why they cannot be set up; when to try again |
//! | `http/` | the one HTTP client |

#[cfg(feature = "feed")]
mod backoff;
#[cfg(feature = "feed")]
mod board;
#[cfg(feature = "feed")]
mod client;
#[cfg(feature = "feed")]
mod crew;
#[cfg(feature = "feed")]
mod discover;
mod events;
#[cfg(feature = "feed")]
mod follow;
mod follower;
#[cfg(feature = "feed")]
pub mod http;
#[cfg(feature = "feed")]
mod setup;
#[cfg(feature = "feed")]
mod transport;

#[cfg(feature = "feed")]
pub use self::http::broken;
#[cfg(feature = "feed")]
pub use board::{FeedState, FeedStatus};
#[cfg(feature = "feed")]
pub use client::{FeedClient, Following};
#[cfg(feature = "feed")]
pub use discover::LOOK;
pub use events::{Events, TooLong};
pub use follower::{FollowError, Follower, Progress};
#[cfg(feature = "feed")]
pub use setup::FeedSetupError;
