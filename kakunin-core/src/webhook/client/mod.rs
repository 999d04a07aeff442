//! Deliveries by HTTP/1.1, over TLS by aws-lc, to the address that was checked and to no other.
//!
//! It follows no redirect, asks no proxy of the environment, keeps no cookies, asks for no compression, and reads of an
//! answer the first kilobyte.

mod post;
mod resolve;
mod why;

pub use post::{ClientError, HttpWebhooks};
pub use resolve::Resolver;
