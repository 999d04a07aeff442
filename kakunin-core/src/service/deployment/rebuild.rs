//! Every projection made anew from the logs, and held against what is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aside::{RebuildProgress, aside};
use super::config::Config;
use super::load::load;
use crate::error::StoreError;
use crate::id::TenantId;
use crate::log::entry::LogId;
use crate::log::record::{HistoriesHash, RowsHash};
use crate::service::engine::damage::Damage;
use crate::service::engine::digest::{self, bare, tables};
use crate::service::engine::histories::Taken;
use crate::service::engine::inner::Inner;
use crate::service::engine::parts::Parts;
use crate::service::engine::scan::scan;
use crate::service::engine::seal::{self, Rows, counts};
use crate::service::engine::sealed_rows::SealedState;
use crate::service::engine::system;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::store::MemoryStore;
use crate::store::state::{Change, Kind, StateStore};

/// What is done about rows that are not what the logs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// They are only named.
    Compare,
    /// They are made what the logs say.
    Write,
}

/// One table of one log, as it is stored and as the log makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuiltTable {
    /// Which log.
    pub log: LogId,
    /// Its name, as `state.snapshot` records have it; `histories`, and `revocation` of revocation logs.
    pub table: &'static str,
    /// What was stored; nothing where that could not be read.
    pub before: Option<RowsHash>,
    /// What the log says.
    pub after: RowsHash,
    /// Whether anything of it is not what the log says.
    pub differs: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// Every table of every log.
    pub tables: Vec<RebuiltTable>,
    /// Logs over whose rows there was no seal that holds.
    pub unsealed: Vec<LogId>,
    /// What a start with what was stored would have found damaged.
    pub damage: Damage,
    /// Whether what differed is now what the logs say.
    pub written: bool,
}

impl Rebuilt {
    /// Whether everything was what the logs say.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.unsealed.is_empty() && self.tables.iter().all(|table| !table.differs)
    }
}

/// Makes every projection of a deployment anew from its logs, in memory, and says what of the stored ones differs; if it is
/// to, it makes those what the logs say, log by log, each in one transaction. Nothing follows from it: no record, no key, no
/// message. The vault, cursors, deliveries, CRLs and read marks stay as they are. Nobody else may have the deployment open,
/// unless it is only compared. It needs as much memory as a server, and twice what is stored beside the logs.
///
/// # Errors
/// [`Error::Deployment`] and [`Error::Store`] as for [`Kakunin::open`](crate::service::Kakunin::open): a log that is not what
/// its key signed makes nothing.
pub async fn rebuild(
    config: Config,
    mut parts: Parts,
    what: Rebuild,
    progress: Option<RebuildProgress>,
) -> Result<Rebuilt, Error> {
    // Rows of a later program are not this one's to judge.
    Kind::current(&scan(&parts, &LogId::System, Kind::Layout).await?)?;
    let (made, stored) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let (anew, _) = load(config.clone(), aside(&parts, made, progress)).await?;
    let tenants = anew.tenant_ids();
    for log in tenants.iter().cloned().map(LogId::Tenant).chain([LogId::System]) {
        copy(&*parts.state, &log, &stored).await?;
    }
    // What is stored may be such that no start comes of it.
    let old = load(config, aside(&parts, stored, None)).await.map(|(old, _)| old);
    // Rows are held against each other as they are, and not as they lie there.
    SealedState::between(&mut parts, &anew.seal_key);
    let mut run = Run { parts, what, anew, old: old.ok(), tables: Vec::new(), unsealed: Vec::new() };
    run.log(&LogId::System, Vec::new()).await?;
    for tenant in tenants {
        run.tenant(tenant).await?;
    }
    run.revocations().await?;
    let Run { tables, unsealed, old, .. } = run;
    let damage = old.map(|old| old.damages.found()).unwrap_or_default();
    Ok(Rebuilt { tables, unsealed, damage, written: what == Rebuild::Write })
}

/// Copies what is stored of a log, but for secrets.
async fn copy(from: &dyn StateStore, log: &LogId, to: &MemoryStore) -> Result<(), StoreError> {
    let mut view = from.view(log).await?;
    let mut rows = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Vault) {
        let all = view.scan(kind, None, usize::MAX).await?;
        rows.extend(all.into_iter().map(|(key, value)| Change { kind, key, value: Some(value) }));
    }
    to.put(log, &rows).await?;
    StateStore::apply(to, log, view.applied(), &[]).await
}

struct Run {
    parts: Parts,
    what: Rebuild,
    /// Over nothing but the logs.
    anew: Inner,
    /// Over a copy of what is stored, if that opens.
    old: Option<Inner>,
    tables: Vec<RebuiltTable>,
    unsealed: Vec<LogId>,
}

impl Run {
    async fn tenant(&mut self, id: TenantId) -> Result<(), Error> {
        let log = LogId::Tenant(id.clone());
        let tenant = TenantLog::load(&self.anew, id.clone()).await?;
        let after = hash_histories(&self.anew, &tenant).await?;
        let before = match &self.old {
            Some(old) => match TenantLog::load(old, id).await {
                Ok(tenant) => Some(hash_histories(old, &tenant).await?),
                Err(_) => None,
            },
            None => None,
        };
        let differs = before.as_ref() != Some(&after) || self.lost_histories(&log).await?;
        let before = before.map(|before| before.hash);
        let mut histories = Vec::new();
        if differs {
            self.anew.snapshot(&tenant).await?;
            let seal = self.anew.parts.state.get(&log, Kind::Seal, seal::HISTORIES).await?;
            histories = self.differing(&log, Kind::Risk).await?.2;
            histories.push(Change { kind: Kind::Seal, key: seal::HISTORIES.to_vec(), value: seal });
        }
        self.tables.push(RebuiltTable {
            log: log.clone(),
            table: "histories",
            before,
            after: after.hash,
            differs,
        });
        self.log(&log, histories).await
    }

    /// Whether stored histories are not under their seal: a start folds them from the beginning.
    async fn lost_histories(&self, log: &LogId) -> Result<bool, Error> {
        let (name, key) = (log.to_string(), &self.anew.seal_key);
        let rows = scan(&self.parts, log, Kind::Risk).await?;
        let macs = rows.iter().map(|(row, value)| key.row(&name, Kind::Risk, row, value));
        let sum = macs.fold(0, u128::wrapping_add);
        let seal = self.parts.state.get(log, Kind::Seal, seal::HISTORIES).await?;
        Ok(match seal {
            Some(seal) => key.read(&name, seal::HISTORIES, &seal, sum).is_none(),
            None => !rows.is_empty(),
        })
    }

    /// The tables of a log, and their seal; `beside` is written with what differs.
    async fn log(&mut self, log: &LogId, beside: Vec<Change>) -> Result<(), Error> {
        let (size, applied) =
            (self.anew.ledger(log.clone()).await?.size(), self.parts.state.applied(log).await?);
        let mut changes = beside;
        for (kind, table) in tables(log) {
            let (before, after, differing) = self.differing(log, *kind).await?;
            let differs = !differing.is_empty();
            changes.extend(differing);
            self.tables.push(RebuiltTable { log: log.clone(), table, before: Some(before), after, differs });
        }
        let sealed = self.is_sealed(log).await? || size == 0;
        if !sealed {
            self.unsealed.push(log.clone());
        }
        if changes.iter().any(|change| counts(log, change.kind)) || !sealed {
            let value = self.anew.parts.state.get(log, Kind::Seal, seal::ROWS).await?;
            changes.push(Change { kind: Kind::Seal, key: seal::ROWS.to_vec(), value });
        }
        if self.what == Rebuild::Write && (!changes.is_empty() || applied < size) {
            system::store(&self.parts, log, (size, applied), &changes).await?;
        }
        Ok(())
    }

    /// Hashes of a table as it is stored, and as the log makes it; and what makes the one the other.
    async fn differing(&self, log: &LogId, kind: Kind) -> Result<(RowsHash, RowsHash, Vec<Change>), Error> {
        let (before, after) = (scan(&self.parts, log, kind).await?, scan(&self.anew.parts, log, kind).await?);
        let hash = |rows: &[(Vec<u8>, Vec<u8>)]| {
            let mut hashed = digest::Rows::default();
            rows.iter().for_each(|(key, value)| hashed.add(key, bare(log, kind, value)));
            hashed.hash()
        };
        let hashes = (hash(&before), hash(&after));
        let before: BTreeMap<_, _> = before.into_iter().collect();
        let mut changes = Vec::new();
        let mut gone = before.clone();
        for (key, value) in after {
            gone.remove(&key);
            if before.get(&key) != Some(&value) {
                changes.push(Change { kind, key, value: Some(value) });
            }
        }
        changes.extend(gone.into_keys().map(|key| Change { kind, key, value: None }));
        Ok((hashes.0, hashes.1, changes))
    }

    /// Whether the stored rows that count are under their seal.
    async fn is_sealed(&self, log: &LogId) -> Result<bool, Error> {
        let mut rows = Rows::new(self.anew.seal_key.clone(), log.clone());
        for (kind, _) in tables(log).iter().filter(|(kind, _)| counts(log, *kind)) {
            for (key, value) in scan(&self.parts, log, *kind).await? {
                rows.add(*kind, key, &value);
            }
        }
        let seal = self.parts.state.get(log, Kind::Seal, seal::ROWS).await?;
        Ok(seal.is_some_and(|seal| rows.follow_from(&seal).is_some()))
    }

    /// The standing revocations of every issuing CA that has not ended.
    async fn revocations(&mut self) -> Result<(), Error> {
        for ca in self.anew.cas.all() {
            let issuer = ca.issuer.id();
            let (standing, size) = digest::revocations(&*self.anew.parts.revocations, &issuer).await?;
            let (before, applied) = digest::revocations(&*self.parts.revocations, &issuer).await?;
            let (before, after) = (digest::of_revocations(&before)?, digest::of_revocations(&standing)?);
            let differs = before != after;
            let log = LogId::Revocations(issuer);
            self.tables.push(RebuiltTable { log, table: "revocation", before: Some(before), after, differs });
            if self.what == Rebuild::Write && (differs || applied < size) {
                self.parts.revocations.replace(&issuer, size, &standing).await?;
            }
        }
        Ok(())
    }
}

async fn hash_histories(of: &Inner, tenant: &TenantLog) -> Result<HistoriesHash, StoreError> {
    let (model, taken) = Taken::all(&tenant.committed.read());
    of.hash_histories(model, taken).await
}
