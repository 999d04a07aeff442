//! A deployment moves from one store into another, which is empty: every entry octet for octet, heads and checkpoints as they
//! were signed, which key is whose, rows, revocations and secrets. Nobody serves it meanwhile.
//!
//! | file | does |
//! |---|---|
//! | `logs.rs` | entries, from one signed head to a later one |
//! | `rows.rs` | what follows from logs, what lies beside them, and secrets |
//! | `mark.rs` | what says that a store is being moved into |
//!
//! The system log comes last, and a mark lies in the vault until everything was compared: what was cut off is no deployment, and
//! the next call goes on with it.

mod logs;
mod mark;
mod rows;

use std::collections::BTreeSet;

pub use mark::is_being_moved_into;

use crate::error::StoreError;
use crate::key::KeyRef;
use crate::log::entry::LogId;
use crate::log::merkle::Hash;
use crate::log::record::Control;
use crate::service::engine::parts::Parts;
use crate::service::engine::scan::scan;
use crate::service::engine::system;
use crate::service::error::Error;
use crate::store::bound::Bound;
use crate::store::heads::Heads;
use crate::store::state::Kind;

/// Who is told of which log how many entries are there, of how many.
pub type OnMoved<'f> = &'f mut (dyn FnMut(&LogId, u64, u64) + Send);

/// What a deployment is moved from.
#[derive(Debug)]
pub struct Origin<'s> {
    /// What it runs on.
    pub parts: &'s Parts,
    /// The heads that its logs had.
    pub heads: &'s dyn Heads,
    /// Whose its keys are.
    pub bound: &'s dyn Bound,
}

/// A log that was moved, as both stores have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedLog {
    /// Which.
    pub log: LogId,
    /// How many records it has.
    pub size: u64,
    /// The root that its checkpoint signed.
    pub root: Hash,
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// The logs.
    pub logs: Vec<MovedLog>,
    /// Rows of state.
    pub rows: u64,
    /// Standing revocations.
    pub revocations: u64,
    /// Keys of agents.
    pub keys: u64,
    /// Secrets.
    pub secrets: u64,
    /// Whether an earlier attempt was cut off, and this one went on with it.
    pub resumed: bool,
}

/// The references of the log key and the feed key of a deployment, as its first record names them.
///
/// # Errors
/// [`StoreError::Corrupt`] if there is no deployment.
pub async fn log_keys_of(parts: &Parts) -> Result<[KeyRef; 2], Error> {
    match system::first_record(parts).await? {
        Control::DeploymentCreated { log_key, feed_key, .. } => Ok([log_key, feed_key]),
        _ => Err(StoreError::Corrupt("the deployment's record is of another kind".into()).into()),
    }
}

/// Copies a deployment into the store of `to`, and compares heads and roots. The mark that it is being moved into stays: see
/// [`finish_move`]. Neither is changed by anybody else meanwhile.
///
/// # Errors
/// [`Error::Exists`] if there is a deployment in `to`, or what was begun there was begun with another one; and what either store
/// says. Called again it goes on.
pub async fn move_deployment(from: &Origin<'_>, to: &Parts, progress: OnMoved<'_>) -> Result<Moved, Error> {
    let resumed = mark::set(from.parts, to).await?;
    let mut moved = Moved { resumed, ..Moved::default() };
    let logs = all_logs(from.parts).await?;
    moved.secrets = rows::secrets(from.parts, to).await?;
    let mut keys = logs::Keys::of(from.bound);
    for log in &logs {
        logs::entries(from, to, log, &mut keys, progress).await?;
        moved.rows += rows::state(from.parts, to, log, resumed).await?;
        moved.revocations += rows::revocations(from.parts, to, log).await?;
    }
    moved.keys = keys.count();
    for log in logs {
        moved.logs.extend(logs::compare(from.parts, to, log).await?);
    }
    Ok(moved)
}

/// Takes the mark away: from here on what was moved is served.
///
/// # Errors
/// What the store says.
pub async fn finish_move(to: &Parts) -> Result<(), Error> {
    mark::take_away(to).await
}

/// Logs that have records, or rows of a tenant that has none yet; the system log is the last.
async fn all_logs(from: &Parts) -> Result<Vec<LogId>, Error> {
    let mut logs: BTreeSet<_> = from.sink.logs().await?.into_iter().collect();
    for (name, _) in scan(from, &LogId::System, Kind::Tenant).await? {
        let name = String::from_utf8_lossy(&name).into_owned();
        let foreign = |_| StoreError::Corrupt("the name of a tenant does not decode".into());
        logs.insert(LogId::Tenant(name.parse().map_err(foreign)?));
    }
    logs.remove(&LogId::System);
    Ok(logs.into_iter().chain([LogId::System]).collect())
}
