//! The arguments of `kakunin log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kakunin_server::log_verify;

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
