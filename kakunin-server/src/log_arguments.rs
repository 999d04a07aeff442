//! The arguments of `kakunin log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kakunin_server::{log_verify, recover};

use crate::config::Serve;

/// The logs of a deployment.
#[derive(Subcommand)]
pub(crate) enum Log {
    /// Reads every record, payload and checkpoint again, beside a running server or without one, and names the first that
    /// is not what was signed. Ends with 0 if all are, 1 if not, 2 if that cannot be said.
    Verify {
        #[command(flatten)]
        what: Extent,
        #[command(flatten)]
        serve: Box<Serve>,
    },
    /// Goes on from a restored backup: under the next origin, and with what was revoked since. The server must not be
    /// running.
    Recover(Recover),
    /// Makes the guard file anew, for a database that is known to be the newest; the server must not be running.
    RenewGuard(Box<Serve>),
}

#[derive(Args)]
pub(crate) struct Extent {
    /// Which log: a tenant, `_system` or `_revocations-...` [default: all].
    #[arg(long)]
    log: Option<String>,
    /// From about which record on; what is before is believed for the checkpoint over it.
    #[arg(long, default_value_t = 0, value_name = "INDEX")]
    from: u64,
    /// Verifier key of the log `_system`, as it was kept: `HOST/_system/1+...` [default: the one on record].
    #[arg(long)]
    key: Option<String>,
    /// File with a checkpoint that was kept elsewhere, and must be of the log's past.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&Extent> for log_verify::Options {
    fn from(extent: &Extent) -> Self {
        let Extent { log, from, key, checkpoint, .. } = extent;
        Self { log: log.clone(), from: *from, key: key.clone(), checkpoints: checkpoint.clone() }
    }
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
