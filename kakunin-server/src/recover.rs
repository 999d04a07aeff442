//! `kakunin log recover` and `kakunin log renew-guard`: what a restored database goes on as.

use std::io;
use std::path::{Path, PathBuf};

use kakunin_core::service::{Error as ServiceError, Evidence, Kakunin, Recovered, RecoveryOptions};
use kakunin_core::time::{Clock, SystemClock};
use kakunin_core::x509::pem;

use crate::crl_sync::{self, FetchError};
use crate::pem_file;
use crate::serve::{ServeError, ServeOptions, wire};

/// What is known of revocations, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files or URLs with CRLs, PEM or DER.
    pub crls: Vec<String>,
    /// Files or URLs with snapshots of the feed.
    pub feeds: Vec<String>,
    /// Anchors of TLS, PEM, if not the system's.
    pub tls_ca: Option<PathBuf>,
    /// Goes on although nothing is known of some issuing CA.
    pub accept_unknown: bool,
}

/// Why the log was not recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// A file cannot be read.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{place} holds no CRL: {why}")]
    NoCrl {
        /// Which.
        place: String,
        /// What instead.
        why: String,
    },
    /// A URL gives nothing.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The deployment cannot be opened.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It is not done.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] io::Error),
}

/// Has the logs of a deployment that is not being served go on under the next origin. Gives what to say.
///
/// # Errors
/// [`RecoverError`].
pub async fn run(options: &ServeOptions, recover: &Options) -> Result<String, RecoverError> {
    if options.database.is_some() {
        return Err(ServeError::NeedsFolder(
            "`kakunin log recover` goes on from a copy of a folder: bring a database back to its newest moment (pg_basebackup and the WAL since, or a standby), and serve that",
        )
        .into());
    }
    let mut evidence = Vec::new();
    for place in &recover.crls {
        let octets = octets_of(place, recover.tls_ca.as_deref()).await?;
        evidence.extend(crls_in(place, octets)?.into_iter().map(Evidence::Crl));
    }
    for place in &recover.feeds {
        evidence.push(Evidence::FeedSnapshot(octets_of(place, recover.tls_ca.as_deref()).await?));
    }
    let parts = wire::parts_of_deployment(options).await?;
    let config = wire::config(options, options.listen, &parts).await?;
    let how = RecoveryOptions { evidence, accept_unknown: recover.accept_unknown };
    let (kakunin, recovered) = Kakunin::recover(config, parts, &how).await?;
    Ok([said(&recovered), keys_said(&kakunin)].concat())
}

/// Keys that are accepted: those that were revoked after the copy was made are among them, and nobody else knows which.
fn keys_said(kakunin: &Kakunin) -> String {
    let now = SystemClock.now();
    let keys = kakunin.api_keys(None);
    let mut said =
        "\nAPI keys that are accepted; revoke again those that were revoked after the copy was made:"
            .to_owned();
    for key in keys.iter().filter(|key| key.valid_at(now)) {
        said.push_str(&format!("\n  {} of tenant {}", key.id, key.tenant));
    }
    said
}

/// Makes the guard of a deployment that is not being served anew. Gives what to say.
///
/// # Errors
/// [`RecoverError`].
pub async fn renew_guard(options: &ServeOptions) -> Result<String, RecoverError> {
    if options.database.is_some() && options.guard.is_none() {
        return Err(ServeError::NeedsFolder("name the guard file of this server with --guard").into());
    }
    let parts = wire::parts_of_deployment(options).await?;
    let config = wire::config(options, options.listen, &parts).await?;
    Kakunin::renew_guard(config, parts).await?;
    Ok(format!("{} keeps the newest checkpoints from here on", wire::guard_file(options).display()))
}

fn said(recovered: &Recovered) -> String {
    let Recovered { epoch, logs, revoked, unknown, left_out, bad_guard } = recovered;
    let mut lines = Vec::new();
    for log in logs {
        let lost = match log.lost {
            0 => String::new(),
            lost => format!("; at least {lost} records are lost"),
        };
        lines.push(format!("log {} goes on after {} records{lost}", log.log, log.size));
    }
    lines.push(format!("the logs' origins end with /{epoch}: hand out their verifier keys anew"));
    lines.push(format!(
        "revoked or held again: {}; of these, not known to this database: {}",
        revoked.len(),
        unknown.len()
    ));
    lines.extend(
        bad_guard
            .iter()
            .map(|path| format!("the guard could not be read, and is kept for you to look at: {path}")),
    );
    lines.extend(left_out.iter().map(|what| format!("left out: {what}")));
    lines.join("\n")
}

async fn octets_of(place: &str, tls_ca: Option<&Path>) -> Result<Vec<u8>, RecoverError> {
    if place.starts_with("https://") || place.starts_with("http://") {
        return Ok(crl_sync::fetch_once(place, tls_ca).await?);
    }
    let path = PathBuf::from(place);
    std::fs::read(&path).map_err(|source| RecoverError::File { path, source })
}

/// Every CRL in it, DER.
fn crls_in(place: &str, octets: Vec<u8>) -> Result<Vec<Vec<u8>>, RecoverError> {
    // DER begins with a SEQUENCE.
    if octets.first() == Some(&0x30) {
        return Ok(vec![octets]);
    }
    let text = String::from_utf8_lossy(&octets);
    match pem::decode(pem::CRL, &text) {
        Ok(crls) if !crls.is_empty() => Ok(crls),
        _ => {
            let why = pem_file::instead(Path::new(place), &octets, pem::CRL);
            Err(RecoverError::NoCrl { place: place.to_owned(), why })
        }
    }
}
