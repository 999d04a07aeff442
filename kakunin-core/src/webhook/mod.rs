//! Webhooks: what is sent to a URL of a tenant's choice when something happened, by Standard Webhooks 1.0.0 or as the
//! hosted vendor sends it.
//!
//! | file | has |
//! |---|---|
//! | `event.rs`, `facts.rs` | what can be told; an endpoint, as it is on record |
//! | `scheme.rs`, `secret.rs`, `sign.rs` | how a delivery is signed, and how a receiver checks that |
//! | `retry.rs`, `answer.rs` | when it is tried again; what an answer means |
//! | `told.rs`, `message.rs`, `vendor.rs` | what a record is told as; in the vendor's words |
//! | `url.rs`, `address.rs`, `allow.rs`, `guard.rs` | where nothing is sent to |
//! | `transport.rs`, `client/` | one attempt; by HTTP, feature `webhooks` |

mod address;
mod allow;
mod answer;
#[cfg(feature = "webhooks")]
mod client;
mod error;
mod event;
mod facts;
mod guard;
pub(crate) mod message;
pub(crate) mod retry;
mod scheme;
mod secret;
mod sign;
pub(crate) mod told;
mod transport;
mod url;
mod vendor;

/// Most endpoints of a tenant.
pub const MAX_WEBHOOKS: usize = 50;

pub use address::Barred;
pub use allow::{Allow, AllowError};
pub use answer::{Answer, Means};
#[cfg(feature = "webhooks")]
pub use client::{ClientError, HttpWebhooks, Resolver};
pub use error::WebhookError;
pub use event::WebhookEvent;
pub use facts::{Disabled, FormerSecret, SecretName, WebhookFacts, WebhookId};
pub use guard::{Guard, GuardError};
pub use scheme::Scheme;
pub use secret::{SecretError, WebhookSecret};
pub use sign::{Delivered, SignatureError, sign, verify};
pub use transport::{MAX_ANSWER, PostError, WebhookTransport};
pub use url::{MAX_URL_LEN, UrlError, WebhookUrl};
