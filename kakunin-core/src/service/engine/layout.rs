//! Rows of earlier versions are brought to the tables of this one, before anything of them is read.

use super::ledger::Ledger;
use super::parts::Parts;
use super::scan::scan;
use super::seal;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::state::{Change, Kind};

/// Where CRLs stood among the cursors.
const FORMER_CRLS: &[u8] = b"published-crl/";
/// Where the marks of CRLs did.
const FORMER_MARKS: &[u8] = b"crl-number/";

/// What the rows were found as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Of this version.
    Current,
    /// Of this version, which has more tables than the one that wrote them.
    Fewer,
    /// Of none that they say: none are there, or a start before this one was cut off.
    Unnamed,
    /// Of an earlier one: what follows from the log is made anew from it.
    Earlier,
}

/// Brings the rows of the system log to the tables of this version, in one change: before there were versions,
/// authorities, keys and visibility stood among its certificates, tenants among its agents, CRLs and their marks among
/// its cursors. What follows from the log is taken away, to be made anew from it; CRLs are moved, each under its MAC.
pub(super) async fn bring_up(parts: &Parts, system: &Ledger) -> Result<Came, StoreError> {
    let log = &LogId::System;
    match Kind::current(&scan(parts, log, Kind::Layout).await?)? {
        0 => {}
        all if all == Kind::ALL.len() => return Ok(Came::Current),
        _ => return Ok(Came::Fewer),
    }
    let gone = |kind, key: &[u8]| Change { kind, key: key.to_vec(), value: None };
    let mut changes = Vec::new();
    for kind in [Kind::Agent, Kind::Certificate] {
        changes.extend(scan(parts, log, kind).await?.iter().map(|(key, _)| gone(kind, key)));
    }
    for (key, value) in scan(parts, log, Kind::Cursor).await? {
        if let Some(place) = key.strip_prefix(FORMER_CRLS) {
            let value = Some(system.rows.moved(&value, (Kind::Cursor, &key), (Kind::Crl, place)));
            changes.push(Change { kind: Kind::Crl, key: place.to_vec(), value });
        } else if !key.starts_with(FORMER_MARKS) {
            continue;
        }
        changes.push(gone(Kind::Cursor, &key));
    }
    if changes.is_empty() {
        return Ok(Came::Unnamed);
    }
    changes.push(gone(Kind::Seal, seal::ROWS));
    parts.state.put(log, &changes).await?;
    Ok(Came::Earlier)
}

/// Says which versions the rows are of, once they are.
pub(super) async fn name(parts: &Parts, came: Came) -> Result<(), StoreError> {
    if came == Came::Current {
        return Ok(());
    }
    let row = |(key, value)| Change { kind: Kind::Layout, key, value: Some(value) };
    let layout: Vec<_> = Kind::ALL.into_iter().map(|kind| row(kind.layout())).collect();
    parts.state.put(&LogId::System, &layout).await
}
