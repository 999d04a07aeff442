//! The system log's state: the deployment's record, its certificate authorities, its tenants.

use std::collections::HashSet;

use super::crl;
use super::damage::Damages;
use super::deployment::Parts;
use super::error::Error;
use super::ledger::Ledger;
use super::projection::set;
use super::seal::{self, Rows, counts};
use crate::access::Role;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{ApiKeyId, TenantId};
use crate::key::KeyRef;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, CaRole, Control, Record};
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// Rows of the system log's state.
pub(super) const DEPLOYMENT: &[u8] = b"deployment";
/// What keys of rows of certificate authorities begin with; their records' indices follow, in hex.
const CA: &str = "ca/";
/// The row that says that state is believed under a seal alone.
const SEALED: &[u8] = b"sealed";
/// The newest admin key, whatever became of it.
pub(super) const ADMIN: &[u8] = b"admin-key";
/// What keys of rows of API keys begin with, and those of what commits to the hashes of old ones.
pub(super) const API_KEY: &str = "api-key/";
pub(super) const API_KEY_COMMITMENT: &str = "api-key-commitment/";
/// What keys of rows begin with that name a tenant whose revocations are private.
const PRIVATE: &str = "private/";
/// Rows read at once; also the most there can be of a kind.
const MAX_ROWS: usize = 100_000;
/// Records, or rows, read at once when all are read.
const STEP: usize = 4_096;

/// Rows that follow from the record of the system log at `index`.
pub(super) fn changes(index: u64, record: &Record) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else {
        return Ok(Vec::new());
    };
    Ok(match &**control {
        Control::DeploymentCreated { .. } => vec![set(Kind::Certificate, DEPLOYMENT.to_vec(), control)?],
        Control::CaCreated { .. } => {
            vec![set(Kind::Certificate, format!("{CA}{index:016x}").into_bytes(), control)?]
        }
        Control::TenantCreated { tenant } => {
            vec![set(Kind::Agent, tenant.as_str().as_bytes().to_vec(), tenant)?]
        }
        Control::VisibilityChanged { tenant, visibility } => {
            let key = [PRIVATE, tenant.as_str()].concat().into_bytes();
            let change = set(Kind::Certificate, key, tenant)?;
            vec![Change { value: change.value.filter(|_| *visibility == Visibility::Private), ..change }]
        }
        Control::DeploymentSealed { .. } => vec![set(Kind::Certificate, SEALED.to_vec(), control)?],
        Control::ApiKeyCreated(facts) => {
            let mut rows = vec![set(Kind::Certificate, named(API_KEY, &facts.id), facts)?];
            if facts.role == Role::Admin {
                rows.push(set(Kind::Certificate, ADMIN.to_vec(), &facts.id)?);
            }
            rows
        }
        Control::ApiKeyCommitted { id, commitment } => {
            vec![set(Kind::Certificate, named(API_KEY_COMMITMENT, id), commitment)?]
        }
        Control::ApiKeyRevoked { id } => [API_KEY, API_KEY_COMMITMENT]
            .map(|what| Change { kind: Kind::Certificate, key: named(what, id), value: None })
            .to_vec(),
        Control::CrlPublished { issuer, shard, number, this_update, .. } => {
            // Before it was kept, it was that of the record or earlier.
            let mark = crl::Mark { number: *number, this_update: this_update.unwrap_or(record.time) };
            vec![crl::mark_row(issuer, *shard, mark)]
        }
        _ => Vec::new(),
    })
}

/// Loads the rows that count, under their seal, and applies what the log has and they lack. Without a seal
/// that is theirs they are made anew from the log.
pub(super) async fn load(parts: &Parts, system: &mut Ledger, damages: &Damages) -> Result<(), Error> {
    let mut stored = system.rows.cleared();
    for kind in [Kind::Agent, Kind::Certificate, Kind::Cursor] {
        for (key, value) in scan(parts, &LogId::System, kind).await? {
            if counts(&LogId::System, kind, &key) {
                stored.add(kind, key, &value);
            }
        }
    }
    let from = sealed_from(parts, system, &stored).await?;
    verify(parts, system, from.clone().unwrap_or_default()).await?;
    let applied = parts.state.applied(&LogId::System).await?;
    let (before, from) = match from {
        Some(from) => {
            system.rows = stored;
            (None, from)
        }
        None => {
            system.rows = stored.cleared();
            (Some(stored), Frontier::default())
        }
    };
    replay(parts, system, from, applied).await?;
    let Some(before) = before else { return Ok(()) };
    let wrong = system.rows.differing(&before);
    let extra = wrong.iter().filter(|(kind, key)| !system.rows.knows(*kind, key));
    let gone = extra.map(|(kind, key)| Change { kind: *kind, key: key.clone(), value: None });
    let sealing = system.rows.seal_anew(gone.collect(), system.frontier());
    parts.state.put(&LogId::System, &sealing.changes).await?;
    if sealed(parts).await?.is_some() {
        damages.rebuilt(&LogId::System, &wrong);
    }
    Ok(())
}

async fn replay(
    parts: &Parts,
    system: &mut Ledger,
    mut frontier: Frontier,
    applied: u64,
) -> Result<(), Error> {
    while frontier.size() < system.size() {
        let entries = parts.sink.read(&LogId::System, frontier.size(), STEP).await?;
        let mut rows = Vec::new();
        for entry in &entries {
            rows.extend(changes(frontier.size(), &Record::open(entry)?)?);
            frontier.push(leaf_hash(&entry.leaf));
        }
        if entries.is_empty() {
            return Err(seal::altered(&LogId::System).into());
        }
        let sealing = system.rows.seal_anew(rows, &frontier);
        store(parts, &LogId::System, (frontier.size(), applied), &sealing.changes).await?;
        system.rows.take(sealing);
    }
    Ok(())
}

/// Stores what follows from the records below `index`, also where as much was `applied` before.
pub(super) async fn store(
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

/// Which records the stored rows of a log follow from, if they are under their seal.
pub(super) async fn sealed_from(
    parts: &Parts,
    ledger: &Ledger,
    stored: &Rows,
) -> Result<Option<Frontier>, Error> {
    let seal = parts.state.get(ledger.log(), Kind::Seal, seal::ROWS).await?;
    let from = seal.and_then(|seal| stored.follow_from(&seal));
    if from.as_ref().is_some_and(|from| from.size() > ledger.size()) {
        return Err(cut_off(ledger.log()).into());
    }
    Ok(from)
}

/// The end of a log is gone: what was sealed follows from more.
pub(super) fn cut_off(log: &LogId) -> StoreError {
    StoreError::Corrupt(format!("the end of log {log} is missing: its sealed state is ahead of it"))
}

/// Checks that the records above `from` are those that the checkpoint signed.
pub(super) async fn verify(parts: &Parts, ledger: &Ledger, from: Frontier) -> Result<(), Error> {
    let mut frontier = from;
    while frontier.size() < ledger.size() {
        let entries = parts.sink.read(ledger.log(), frontier.size(), STEP).await?;
        let left = usize::try_from(ledger.size() - frontier.size()).unwrap_or(usize::MAX);
        if entries.is_empty() {
            return Err(seal::altered(ledger.log()).into());
        }
        entries.iter().take(left).for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
    }
    if frontier == *ledger.frontier() { Ok(()) } else { Err(seal::altered(ledger.log()).into()) }
}

/// The record that began the deployment. Whoever reads it before the log was checked believes nothing of it.
pub(super) async fn first_record(parts: &Parts) -> Result<Control, Error> {
    let first = parts.sink.read(&LogId::System, 0, 1).await?.pop();
    let first = first.ok_or_else(|| StoreError::Corrupt("the deployment's record is missing".into()))?;
    match Record::open(&first)?.body {
        Body::Control(control) => Ok(*control),
        Body::Event(..) => {
            Err(StoreError::Corrupt("the deployment's record is of another kind".into()).into())
        }
    }
}

/// What commits to the vault's secret, once it is on record.
pub(super) async fn sealed(parts: &Parts) -> Result<Option<String>, Error> {
    let Some(row) = parts.state.get(&LogId::System, Kind::Certificate, SEALED).await? else {
        return Ok(None);
    };
    match serde_json::from_slice(&row) {
        Ok(Control::DeploymentSealed { secret }) => Ok(Some(secret)),
        _ => Err(StoreError::Corrupt("the record of the seal does not decode".into()).into()),
    }
}

/// The tenants on record.
pub(super) async fn tenants(parts: &Parts) -> Result<Vec<TenantId>, Error> {
    let corrupt = || StoreError::Corrupt("a tenant's row does not decode".into());
    let id = |key: Vec<u8>| String::from_utf8(key).ok().and_then(|text| text.parse().ok());
    let rows = scan(parts, &LogId::System, Kind::Agent).await?;
    Ok(rows.into_iter().map(|(key, _)| id(key).ok_or_else(corrupt)).collect::<Result<_, _>>()?)
}

/// Every row of a kind, as it is stored.
pub(super) async fn scan(
    parts: &Parts,
    log: &LogId,
    kind: Kind,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.clone());
        let more = parts.state.scan(log, kind, after.as_deref(), STEP).await?;
        let end = more.len() < STEP;
        rows.extend(more);
        if end {
            return Ok(rows);
        }
    }
}

/// The row of an API key.
pub(super) fn named(what: &str, id: &ApiKeyId) -> Vec<u8> {
    format!("{what}{id}").into_bytes()
}

/// A certificate authority as it is on record.
pub(super) struct CaRow {
    pub(super) role: CaRole,
    pub(super) key: Option<KeyRef>,
    pub(super) tenant: Option<TenantId>,
    pub(super) issuer: Issuer,
}

/// Every certificate authority, in the order in which they were made.
pub(super) async fn authorities(parts: &Parts) -> Result<Vec<CaRow>, Error> {
    rows(parts, CA).await?.iter().map(|row| authority(row)).collect()
}

/// Tenants whose revocations are private.
pub(super) async fn private_tenants(parts: &Parts) -> Result<HashSet<TenantId>, Error> {
    let corrupt = |_| StoreError::Corrupt("a tenant's visibility does not decode".into());
    let tenant = |row: &Vec<u8>| Ok(serde_json::from_slice(row).map_err(corrupt)?);
    rows(parts, PRIVATE).await?.iter().map(tenant).collect()
}

/// Rows whose keys begin with `prefix`.
pub(super) async fn rows(parts: &Parts, prefix: &str) -> Result<Vec<Vec<u8>>, Error> {
    Ok(rows_with_keys(parts, prefix).await?.into_iter().map(|(_, value)| value).collect())
}

pub(super) async fn rows_with_keys(parts: &Parts, prefix: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
    let after = Some(prefix.as_bytes());
    let rows = parts.state.scan(&LogId::System, Kind::Certificate, after, MAX_ROWS).await?;
    Ok(rows.into_iter().take_while(|(key, _)| key.starts_with(prefix.as_bytes())).collect())
}

fn authority(row: &[u8]) -> Result<CaRow, Error> {
    let corrupt = || StoreError::Corrupt("a certificate authority's record does not decode".into());
    let control: Control = serde_json::from_slice(row).map_err(|_| corrupt())?;
    let Control::CaCreated { role, key, certificate, tenant } = control else {
        return Err(corrupt().into());
    };
    let der = pem::decode(pem::CERTIFICATE, &certificate).ok().and_then(|mut all| all.pop());
    Ok(CaRow { role, key, tenant, issuer: Issuer::from_der(der.ok_or_else(corrupt)?)? })
}
