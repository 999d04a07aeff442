//! Why there is no answer.

use std::io;

use super::broken::{broken, causes};

/// Why there is no answer. No variant holds what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not a URL that can be asked.
    #[error("no URL; write http://HOST[:PORT] or https://HOST[:PORT], without a name or password")]
    Url,
    /// A path that would be sent as another one.
    #[error("no path; begin it with `/`, and write it as RFC 3986 does, without `.`, `..` and `#`")]
    Path,
    /// TLS trusts nobody.
    #[error("this machine has no certificates that TLS could trust; name some, or install `ca-certificates`")]
    NoRoots,
    /// A certificate that TLS is to trust cannot be used.
    #[error("a certificate that TLS is to trust cannot be used: {0}")]
    Root(String),
    /// The certificate to show, or its key, cannot be used.
    #[error("the certificate to show cannot be used: {0}")]
    Shown(String),
    /// Nobody is there, or the proxy leads nowhere.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody is there, and there is no TLS with them.
    #[error("{0}")]
    Tls(String),
    /// Nothing came for too long, or the whole takes too long.
    #[error("it takes too long")]
    TooSlow,
    /// The connection broke, or what comes is no HTTP.
    #[error("{0}")]
    Broken(String),
    /// The answer is longer than the bound, in octets.
    #[error("the answer is longer than {0} octets")]
    TooLong(usize),
}

impl HttpError {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let why = broken(error);
        // Some of these are wrapped in others.
        let chain = || causes(error);
        let tls = chain().any(|cause| cause.is::<rustls::Error>());
        let cut = chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            matches!(cause.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
        });
        match error {
            _ if tls => Self::Tls(why),
            error if error.is_connect() && error.is_timeout() => {
                Self::Unreachable("no connection in time".to_owned())
            }
            // Who hangs up in the middle of a handshake was there.
            error if error.is_connect() && !cut => Self::Unreachable(why),
            error if error.is_timeout() => Self::TooSlow,
            error if error.is_builder() => Self::Url,
            _ => Self::Broken(why),
        }
    }
}
