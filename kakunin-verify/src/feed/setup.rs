//! Why a client cannot be set up.

/// Why a client cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedSetupError {
    /// Not the URL of a deployment.
    #[error("this is not http(s)://host[:port][/path] without a slash at its end")]
    Url,
    /// Not the verifier key of a feed.
    #[error("this is not a feed's verifier key; `GET /api/v1/ca` names it as `feed_verifier`")]
    Key,
    /// Not an API key, or one that would travel in the clear.
    #[error("the API key is not one, or `http` would show it to everybody on the way; use `https`")]
    ApiKey,
    /// No roots for TLS.
    #[error("the roots that TLS is to trust cannot be used")]
    Roots,
}
