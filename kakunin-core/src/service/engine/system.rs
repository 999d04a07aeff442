//! Reading what is stored of the system log: the deployment's record, and the state that its rows and records amount to.

use super::damage::Damages;
use super::layout::{self, Came};
use super::ledger::Ledger;
use super::parts::Parts;
pub(crate) use super::scan::{scan, scan_view};
use super::seal::{self, Rows};
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Control, Record};
use crate::service::error::Error;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::rows::{TABLES, changes};
use crate::store::state::{Change, Kind};

/// Records, or rows, read at once when all are read.
const STEP: usize = 4_096;
/// How often it is read anew, because somebody else wrote meanwhile.
const ATTEMPTS: usize = 64;

/// Loads the rows that count, under their seal, and applies what the log has and they lack. Without a seal
/// that is theirs they are made anew from the log.
pub(crate) async fn load(
    parts: &Parts,
    system: &mut Ledger,
    damages: &Damages,
) -> Result<SystemState, Error> {
    let came = layout::bring_up(parts, system).await?;
    let Stored { macs: stored, rows, seal } = at_one_head(parts, system).await?;
    let from = sealed_at(system, &stored, seal)?;
    verify(parts, system, from.clone().unwrap_or_default()).await?;
    let applied = parts.state.applied(&LogId::System).await?;
    let (before, from, mut state) = match from {
        Some(from) => {
            system.rows = stored;
            let state = SystemState::restored(&rows, from.size())?;
            (None, from, state)
        }
        None => {
            system.rows = stored.cleared();
            (Some(stored), Frontier::default(), SystemState::default())
        }
    };
    replay(parts, system, from, applied, &mut state).await?;
    layout::name(parts, came).await?;
    let Some(before) = before else {
        system.settled();
        return Ok(state);
    };
    let wrong = system.rows.differing(&before);
    let extra = wrong.iter().filter(|(kind, key)| !system.rows.knows(*kind, key));
    let gone = extra.map(|(kind, key)| Change { kind: *kind, key: key.clone(), value: None });
    let sealing = system.rows.seal_anew(gone.collect(), system.frontier());
    parts.state.put(&LogId::System, &sealing.changes).await?;
    let was_there = matches!(came, Came::Current | Came::Fewer) || came == Came::Unnamed && !rows.is_empty();
    if state.sealed.is_some() && was_there {
        damages.rebuilt(&LogId::System, &wrong);
    }
    system.settled();
    Ok(state)
}

/// What is stored of the system log: rows that count, in the order of their keys, each kind.
struct Stored {
    macs: Rows,
    /// Those that the state is restored from: marks of CRLs are as many as CAs have shards, and read where they are needed.
    rows: Vec<(Kind, Vec<u8>, Vec<u8>)>,
    seal: Option<Vec<u8>>,
}

/// Reads it as it is at the ledger's head, which is read anew if somebody else wrote meanwhile.
async fn at_one_head(parts: &Parts, system: &mut Ledger) -> Result<Stored, Error> {
    for _ in 0..ATTEMPTS {
        let (mut macs, mut rows) = (system.rows.cleared(), Vec::new());
        for kind in TABLES {
            for (key, value) in scan(parts, &LogId::System, kind).await? {
                macs.add(kind, key.clone(), &value);
                rows.push((kind, key, value));
            }
        }
        for (key, value) in scan(parts, &LogId::System, Kind::CrlMark).await? {
            macs.add(Kind::CrlMark, key, &value);
        }
        let seal = parts.state.get(&LogId::System, Kind::Seal, seal::ROWS).await?;
        let (head, _) = parts.sink.head(&LogId::System).await?;
        if head.frontier == *system.frontier() {
            return Ok(Stored { macs, rows, seal });
        }
        system.reload(&*parts.sink).await?;
        system.unsettled();
    }
    Err(StoreError::Conflict.into())
}

async fn replay(
    parts: &Parts,
    system: &mut Ledger,
    mut frontier: Frontier,
    applied: u64,
    state: &mut SystemState,
) -> Result<(), Error> {
    while frontier.size() < system.size() {
        let rows = fold(parts, system, &mut frontier, |index, record| state.apply(index, record)).await?;
        let sealing = system.rows.seal_anew(rows, &frontier);
        store(parts, &LogId::System, (frontier.size(), applied), &sealing.changes).await?;
        system.rows.take(sealing);
    }
    Ok(())
}

/// Applies some more records of the system log, from `frontier` on, which they lead further; none above the ledger's
/// head. Gives the rows that follow from them.
pub(super) async fn fold(
    parts: &Parts,
    system: &Ledger,
    frontier: &mut Frontier,
    mut apply: impl FnMut(u64, &Record) -> Result<(), StoreError>,
) -> Result<Vec<Change>, Error> {
    let left = usize::try_from(system.size() - frontier.size()).unwrap_or(usize::MAX);
    let entries = parts.sink.read(&LogId::System, frontier.size(), STEP.min(left)).await?;
    if entries.is_empty() {
        return Err(seal::altered(&LogId::System).into());
    }
    let mut rows = Vec::new();
    for entry in &entries {
        let record = Record::open(entry)?;
        rows.extend(changes(frontier.size(), &record)?);
        apply(frontier.size(), &record)?;
        frontier.push(leaf_hash(&entry.leaf));
    }
    Ok(rows)
}

/// Stores what follows from the records below `index`, also where as much was `applied` before.
pub(crate) async fn store(
    parts: &Parts,
    log: &LogId,
    (index, applied): (u64, u64),
    changes: &[Change],
) -> Result<(), StoreError> {
    match index > applied {
        true => parts.state.apply(log, index, changes).await,
        false => parts.state.put(log, changes).await,
    }
}

/// Which records the stored rows of a log follow from, if they are under this seal.
pub(crate) fn sealed_at(
    ledger: &Ledger,
    stored: &Rows,
    seal: Option<Vec<u8>>,
) -> Result<Option<Frontier>, Error> {
    let from = seal.and_then(|seal| stored.follow_from(&seal));
    if from.as_ref().is_some_and(|from| from.size() > ledger.size()) {
        return Err(cut_off(ledger.log()).into());
    }
    Ok(from)
}

/// The end of a log is gone: what was sealed follows from more.
pub(crate) fn cut_off(log: &LogId) -> StoreError {
    StoreError::Corrupt(format!("the end of log {log} is missing: its sealed state is ahead of it"))
}

/// Checks that the records above `from` are those that the checkpoint signed.
pub(crate) async fn verify(parts: &Parts, ledger: &Ledger, from: Frontier) -> Result<(), Error> {
    let mut frontier = from;
    while frontier.size() < ledger.size() {
        let entries = parts.sink.read_leaves(ledger.log(), frontier.size(), STEP).await?;
        let left = usize::try_from(ledger.size() - frontier.size()).unwrap_or(usize::MAX);
        if entries.is_empty() {
            return Err(seal::altered(ledger.log()).into());
        }
        entries.iter().take(left).for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
        if frontier.size() < ledger.size() {
            yield_now().await;
        }
    }
    if frontier == *ledger.frontier() { Ok(()) } else { Err(seal::altered(ledger.log()).into()) }
}

/// The record that began the deployment. Whoever reads it before the log was checked believes nothing of it.
pub(crate) async fn first_record(parts: &Parts) -> Result<Control, Error> {
    let first = parts.sink.read(&LogId::System, 0, 1).await?.pop();
    let first = first.ok_or_else(|| StoreError::Corrupt("the deployment's record is missing".into()))?;
    match Record::open(&first)?.body {
        Body::Control(control) => Ok(*control),
        Body::Event(..) => {
            Err(StoreError::Corrupt("the deployment's record is of another kind".into()).into())
        }
    }
}
