//! What to monitor, and how.

use std::path::PathBuf;
use std::time::Duration;

/// Between two questions to a consumer.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// What to monitor, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the server.
    pub url: String,
    /// File with an API key of role `operator`.
    pub key_file: PathBuf,
    /// Certificates (PEM) that the server and the gateways are trusted by, if not the system's.
    pub ca: Option<PathBuf>,
    /// URLs behind gateways, asked with the canary's certificate by mutual TLS.
    pub probes: Vec<String>,
    /// How long a consumer may take.
    pub bound: Duration,
    /// Whether the canary brings its revocation upon itself, by what it is refused.
    pub by_score: bool,
}
