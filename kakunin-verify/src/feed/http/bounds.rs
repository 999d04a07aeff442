//! How long an exchange takes, and how much comes.

use std::time::Duration;

/// How long an exchange takes, and how much comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Until a connection stands, with TLS and through a proxy.
    pub connect: Duration,
    /// Without an octet, before the answer and within it.
    pub silence: Duration,
    /// From the request to the end of the answer; none for streams.
    pub whole: Option<Duration>,
    /// Most octets of an answer that is read whole.
    pub body: usize,
    /// Whether a connection is kept for the next request. If not, each request begins with the server's certificate.
    pub keep: bool,
}
