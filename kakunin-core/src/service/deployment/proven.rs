//! What a copy of a deployment's logs proves by itself, without its keys.

use crate::error::StoreError;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::note::VerifierKey;
use crate::log::record::{Body, Control, Record};
use crate::service::deployment::genesis;
use crate::service::engine::origins::Origins;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::store::audit::AuditSink;

/// Records read at once.
const STEP: usize = 4_096;

/// A log whose records lead to its signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenLog {
    /// Which.
    pub log: LogId,
    /// How many records it has.
    pub size: u64,
    /// The signed note.
    pub checkpoint: String,
}

/// Reads every record of every log of a deployment, and holds each log against its newest checkpoint, by the log key that
/// its first record names. Told how many records were read, and of how many.
///
/// # Errors
/// [`StoreError::Corrupt`] if a log is not what its checkpoint says, or there is no deployment.
pub async fn prove_logs(
    sink: &dyn AuditSink,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Vec<ProvenLog>, Error> {
    let (host, named) = log_key(sink).await?;
    let origins = Origins::stored(host, sink).await?;
    let (mut proven, mut heads) = (Vec::new(), Vec::new());
    for log in sink.logs().await? {
        let (head, note) = sink.head(&log).await?;
        let key = named.named(&origins.of(&log))?;
        let corrupt = || StoreError::Corrupt(format!("the checkpoint of log {log} is not by its log key"));
        let note = note.ok_or_else(corrupt)?;
        let signed = Checkpoint::open(&note, &key).map_err(|_| corrupt())?;
        if (signed.size, signed.root) != (head.frontier.size(), head.frontier.root()) {
            return Err(StoreError::Corrupt(format!("log {log} is not what its checkpoint signed")).into());
        }
        proven.push(ProvenLog { log, size: signed.size, checkpoint: note });
        heads.push(head.frontier);
    }
    let (all, mut done) = (proven.iter().map(|log| log.size).sum(), 0);
    for (log, head) in proven.iter().zip(heads) {
        let mut frontier = Frontier::default();
        while frontier.size() < log.size {
            let entries = sink.read_leaves(&log.log, frontier.size(), STEP).await?;
            // What was appended since is of no checkpoint that was read.
            let left = usize::try_from(log.size - frontier.size()).unwrap_or(usize::MAX);
            let before = frontier.size();
            entries.iter().take(left).for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
            if entries.is_empty() {
                break;
            }
            done += frontier.size() - before;
            progress(done, all);
            yield_now().await;
        }
        if frontier != head {
            return Err(crate::service::engine::seal::altered(&log.log).into());
        }
    }
    Ok(proven)
}

/// The host that origins begin with, and the log key, as the deployment's record names them.
async fn log_key(sink: &dyn AuditSink) -> Result<(String, VerifierKey), Error> {
    let none = || StoreError::Corrupt("there is no deployment in it".into());
    let first = sink.read(&LogId::System, 0, 1).await?.pop().ok_or_else(none)?;
    match Record::open(&first)?.body {
        Body::Control(control) => match *control {
            Control::DeploymentCreated { public_url, log_verifier, .. } => {
                Ok((genesis::host_of(&public_url)?, VerifierKey::parse(&log_verifier)?))
            }
            _ => Err(none().into()),
        },
        Body::Event(..) => Err(none().into()),
    }
}
