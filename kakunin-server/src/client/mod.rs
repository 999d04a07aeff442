//! What commands ask a running server with, by its public API: `kakunin inbox` and its like.
//!
//! | file | does |
//! |---|---|
//! | `api.rs` | requests, and what is answered |
//! | `options.rs` | which server, with which key |
//! | `error.rs` | why there is no answer, or another than was asked for |

mod api;
mod error;
mod options;

pub use api::{Client, Reply};
pub use error::ClientError;
pub use options::{KEY_VARIABLE, Options};
