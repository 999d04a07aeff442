//! The one HTTP client: of the feed, and of whoever else asks a deployment something.
//!
//! | file | does |
//! |---|---|
//! | `client.rs`, `answer.rs` | a request, and its answer within bounds |
//! | `bounds.rs` | how long, and how much |
//! | `tls.rs` | whom TLS trusts, and who a client is there |
//! | `error.rs`, `broken.rs` | why there is no answer; why there is no connection, in words |
//!
//! HTTP/1.1, over TLS by aws-lc. It follows no redirect: an API key would go with it. It asks for no compression, and
//! takes none apart. It goes through the proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`,
//! `NO_PROXY`, in either case; also SOCKS), but never to this machine itself.

mod answer;
mod bounds;
mod broken;
mod client;
mod error;
mod tls;

pub use answer::Answer;
pub use bounds::Bounds;
pub use broken::broken;
pub use client::{HttpClient, bearer};
pub use error::HttpError;
pub use tls::{Shown, Tls};
