//! `kakunin monitor`: issues a canary, takes its certificate away, and times who refuses it when. From outside,
//! by the public API, as relying parties see it.
//!
//! | file | does |
//! |---|---|
//! | `canary.rs` | the agent that is there to be revoked |
//! | `consumers.rs` | who has to learn of it, one entry each |
//! | `feed.rs` | one of them, which follows the revocation feed |
//! | `http.rs` | requests, by a client that is no part of the deployment |
//! | `report.rs` | what was measured, as a table or JSON |
//! | `textfile.rs` | the same for Prometheus |

mod canary;
mod consumers;
mod feed;
mod http;
mod report;
pub mod textfile;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canary::{Api, Canary};
use consumers::Consumer;
pub use report::{Measured, Report};

/// Between two questions to a consumer.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The key cannot be read.
    #[error("--key-file: cannot read {path}: {source}", path = path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("--key-file: {path} holds no API key; write the key alone in it, as the server gave it", path = .0.display())]
    NoKey(PathBuf),
    /// The trusted certificates cannot be used.
    #[error("--ca: {0}")]
    Trust(String),
    /// No answer.
    #[error("{0}: {1}")]
    Http(String, String),
    /// Nobody is there, or nobody answers in time.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// The server did not do what the monitor needs.
    #[error("{what} was answered {status}: {text}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// What the answer says.
        text: String,
    },
    /// An answer lacks something, or a key cannot be used.
    #[error("not as expected: {0}")]
    Unexpected(String),
    /// A consumer refuses the canary from the start, so that its refusal would say nothing.
    #[error("{0} refuses the canary before it is revoked; let it in, or leave it out")]
    Beforehand(String),
    /// A consumer did not refuse within the bound.
    #[error("not refused within {bound} s: {consumers}", bound = bound.as_secs_f64())]
    Late {
        /// How long each may take.
        bound: Duration,
        /// Which did not.
        consumers: String,
    },
    /// The file for Prometheus cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Textfile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output, or the runtime.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Measures once, and retires the canary whatever happens.
///
/// # Errors
/// [`MonitorError`] if nothing could be measured; a consumer that is late is in the report.
pub async fn run(options: &Options) -> Result<Report, MonitorError> {
    let api = Api::new(options, http::Http::new(options.ca.as_deref())?)?;
    let canary = Arc::new(Canary::hatch(&api).await?);
    let measured = measure(options, &api, &canary).await;
    let retired = canary.retire(&api).await;
    let report = measured?;
    retired?;
    Ok(report)
}

async fn measure(options: &Options, api: &Api, canary: &Arc<Canary>) -> Result<Report, MonitorError> {
    let consumers = consumers::all(options, api, canary).await?;
    for consumer in &consumers {
        if consumer.refuses(api, canary).await? {
            return Err(MonitorError::Beforehand(consumer.name()));
        }
    }
    canary.revoke(api, options.by_score).await?;
    let revoked = Instant::now();
    let watch = |consumer| tokio::spawn(watch(consumer, api.clone(), canary.clone(), revoked, options.bound));
    let watched: Vec<_> = consumers.into_iter().map(watch).collect();
    let mut measured = Vec::with_capacity(watched.len());
    for one in watched {
        measured.push(one.await.map_err(std::io::Error::other)?);
    }
    Ok(Report { serial: canary.serial, bound: options.bound, measured })
}

/// Asks a consumer until it refuses, or its time is over. One that does not answer has not refused.
async fn watch(
    consumer: Box<dyn Consumer>,
    api: Api,
    canary: Arc<Canary>,
    revoked: Instant,
    bound: Duration,
) -> Measured {
    loop {
        let refuses = consumer.refuses(&api, &canary).await.unwrap_or(false);
        let after = revoked.elapsed();
        if refuses || after > bound {
            let after = (refuses && after <= bound).then_some(after);
            return Measured { consumer: consumer.name(), after };
        }
        tokio::time::sleep(PAUSE).await;
    }
}
