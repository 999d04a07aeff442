//! `kakunin crl-sync`: a file with the CRLs of a chain, kept current for TLS stacks that read files.
//!
//! | file | does |
//! |---|---|
//! | `exec.rs` | the command that is told, and its time |
//! | `fetch.rs` | one conditional GET |
//! | `file.rs` | what is believed, and how the file is replaced |

mod exec;
mod fetch;
mod file;

use std::path::PathBuf;
use std::time::Duration;

use kakunin_core::time::{Clock, SystemClock};

use crate::http::chain;
pub use fetch::FetchError;
use fetch::Source;
use file::Target;
pub use file::TargetError;

/// Seconds between two looks, unless configured otherwise.
pub const EVERY: u64 = 1;
/// How long the command may run. No look is taken meanwhile. No part of the bounds on how late a consumer
/// learns of a revocation: a command that hangs has failed, and that is logged.
pub const EXEC_LIMIT: Duration = Duration::from_secs(30);

/// What is kept current, from where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server, or another URL that answers with CRLs in PEM.
    pub url: String,
    /// The file.
    pub out: PathBuf,
    /// Certificates whose CRLs are believed, PEM: issuing CAs and roots.
    pub ca: PathBuf,
    /// Anchors of the server's TLS certificate, PEM, if not the system's.
    pub tls_ca: Option<PathBuf>,
    /// A file with an API key, for CRLs that a tenant keeps to itself.
    pub key_file: Option<PathBuf>,
    /// What is run by the shell when the file changed.
    pub exec: Option<String>,
    /// How long the command may run.
    pub exec_limit: Duration,
    /// How long to wait between two looks.
    pub every: Duration,
    /// One look, and no more.
    pub once: bool,
}

/// What a URL answers with once.
pub(crate) async fn fetch_once(url: &str, tls_ca: Option<&std::path::Path>) -> Result<Vec<u8>, FetchError> {
    let answer = Source::new(url, tls_ca, None)?.get().await?;
    // Whoever asks without a condition is not told that nothing changed.
    Ok(answer.map(|answer| answer.body).unwrap_or_default())
}

/// Why it does not start, or the one look failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlSyncError {
    /// The server does not answer as it should.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What it answers is not believed, or the file cannot be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The command failed.
    #[error("--exec: {0}; it is run again, unless with --once")]
    Exec(String),
    /// The command did not end in time.
    #[error("--exec: still running after {limit} s; it was ended and is run again, unless with --once", limit = .0.as_secs())]
    Hung(Duration),
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] std::io::Error),
}

/// Keeps the file current. What fails is logged and tried again; the file stays as it was.
///
/// # Errors
/// [`CrlSyncError`] if the options cannot be used, or with `once` if the look fails.
pub async fn run(options: &Options) -> Result<(), CrlSyncError> {
    let target = Target::open(&options.out, &options.ca)?;
    let mut source = Source::new(&options.url, options.tls_ca.as_deref(), options.key_file.as_deref())?;
    // Whether the command saw the file that a run before this one left is not known.
    let mut told = options.once;
    let mut failing = false;
    loop {
        match look(&target, &mut source, options, &mut told).await {
            Ok(()) => {
                if core::mem::take(&mut failing) {
                    tracing::info!("the CRL file is brought up to date again");
                }
            }
            Err(error) if options.once => return Err(error),
            Err(error) => {
                failing = true;
                tracing::error!(error = %chain(&error), "the CRL file is not brought up to date");
            }
        }
        if options.once {
            return Ok(());
        }
        tokio::time::sleep(options.every).await;
    }
}

async fn look(
    target: &Target,
    source: &mut Source,
    options: &Options,
    told: &mut bool,
) -> Result<(), CrlSyncError> {
    let mut missing = None;
    if let Some(answer) = source.get().await? {
        let replaced = target.replace(&answer.body, SystemClock.now())?;
        if replaced.changed {
            tracing::info!(out = %options.out.display(), "new CRLs");
            *told = false;
        }
        missing = replaced.missing;
        source.accepted(answer);
    }
    if !*told {
        if let Some(command) = &options.exec {
            exec::run(command, options.exec_limit).await?;
        }
        *told = true;
    }
    match missing {
        Some(missing) if options.once => Err(missing.into()),
        Some(missing) => {
            tracing::error!(error = %missing, "a CRL is not brought up to date");
            Ok(())
        }
        None => Ok(()),
    }
}
