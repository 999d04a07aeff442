//! The arguments of `kakunin log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kakunin_server::recover;

use crate::config::Serve;

/// The log of a deployment.
#[derive(Subcommand)]
pub(crate) enum Log {
    /// Goes on from a restored backup: under the next origin, and with what was revoked since. The server must not be
    /// running.
    Recover(Recover),
    /// Makes the guard file anew, for a database that is known to be the newest; the server must not be running.
    RenewGuard(Box<Serve>),
}

/// How the log is recovered.
#[derive(Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) serve: Box<Serve>,
    /// Says that the records after the backup are lost for good: checkpoints have another origin from here on.
    #[arg(long, required = true)]
    new_origin: bool,
    /// File or URL with CRLs that relying parties have, the newest that there are, PEM or DER.
    #[arg(long, value_name = "FILE")]
    crl: Vec<String>,
    /// File or URL with a snapshot of the revocation feed.
    #[arg(long, value_name = "FILE")]
    feed: Vec<String>,
    /// Certificates (PEM) that the servers of such URLs are trusted by, if not the system's.
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// Goes on although nothing is known of what some issuing CA revoked since: it is accepted again.
    #[arg(long)]
    accept_unknown_revocations: bool,
}

impl Recover {
    pub(crate) fn apart(self) -> (Serve, recover::Options) {
        let Self { serve, crl, feed, tls_ca, accept_unknown_revocations, .. } = self;
        let options =
            recover::Options { crls: crl, feeds: feed, tls_ca, accept_unknown: accept_unknown_revocations };
        (*serve, options)
    }
}
