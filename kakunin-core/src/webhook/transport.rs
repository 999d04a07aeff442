//! One attempt.

use async_trait::async_trait;

use super::answer::Answer;
use super::guard::GuardError;
use super::url::WebhookUrl;

/// Octets of an answer's body that are kept.
pub const MAX_ANSWER: usize = 1_024;

/// Why there is no answer. No variant holds what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// It is not sent there.
    #[error(transparent)]
    Barred(#[from] GuardError),
    /// The name leads nowhere.
    #[error("the name of the host cannot be resolved")]
    Unresolved,
    /// Nobody is there.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Somebody is there, and there is no TLS with them.
    #[error("no TLS: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time")]
    TooSlow,
    /// The connection broke, or what came is no HTTP.
    #[error("no answer: {0}")]
    Broken(String),
}

impl PostError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Barred(why) => why.code(),
            Self::Unresolved => "unresolved",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls_failed",
            Self::TooSlow => "timed_out",
            Self::Broken(_) => "broken",
        }
    }
}

/// Sends deliveries. [`HttpWebhooks`](super::HttpWebhooks) does (feature `webhooks`).
///
/// * Atomicity: one call is one attempt; it follows no redirect, and tries nothing again.
/// * Durability: none; what an answer means is on whoever calls.
/// * Concurrency: any number of calls at once, none of which waits for another. Each ends by itself, after some seconds
///   at the most, whatever the receiver does.
/// * Idempotence: none; a receiver tells attempts of one message by its identifier.
#[async_trait]
pub trait WebhookTransport: core::fmt::Debug + Send + Sync {
    /// Whether it would send something to this URL, as far as that can be said without looking its name up.
    ///
    /// # Errors
    /// [`GuardError`].
    fn check(&self, url: &WebhookUrl) -> Result<(), GuardError>;

    /// Sends `body` with these header fields, and gives what was answered.
    ///
    /// # Errors
    /// [`PostError`], if there is no answer.
    async fn post(
        &self,
        url: &WebhookUrl,
        fields: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, PostError>;
}
