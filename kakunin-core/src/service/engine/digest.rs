//! What the tables of a log amount to, as hashes that somebody else computes alike: see `docs/AUDIT-LOG.md`.

use sha2::{Digest, Sha256};

use super::histories::Taken;
use super::inner::Inner;
use super::seal::{SealKey, carries};
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::LogId;
use crate::log::record::{HistoriesHash, RevocationsHash, RowsHash, Sha256Hash, TableHash};
use crate::revoke::Revocation;
use crate::risk::ModelId;
use crate::store::revocations::RevocationStore;
use crate::store::state::{Change, Kind, StateView};

/// Rows, or histories, that are hashed before others go on.
const STEP: usize = 1_024;

/// Tables that follow from a tenant's log alone, and what they are called on record. What a key provider is yet to be
/// told does not: it is taken away by whoever told it.
const OF_TENANT: [(Kind, &str); 9] = [
    (Kind::Agent, "agent"),
    (Kind::Certificate, "certificate"),
    (Kind::Standing, "standing"),
    (Kind::Dedup, "dedup"),
    (Kind::Inbox, "inbox"),
    (Kind::Policy, "policy"),
    (Kind::Breaker, "breaker"),
    (Kind::Approval, "approval"),
    (Kind::Webhook, "webhook"),
];
/// Those that follow from the system log.
const OF_SYSTEM: [(Kind, &str); 6] = [
    (Kind::Deployment, "deployment"),
    (Kind::Authority, "authority"),
    (Kind::Tenant, "tenant"),
    (Kind::ApiKey, "api_key"),
    (Kind::ApiKeyCommitment, "api_key_commitment"),
    (Kind::CrlMark, "crl_mark"),
];

/// Tables that follow from a log alone.
pub(crate) const fn tables(log: &LogId) -> &'static [(Kind, &'static str)] {
    match log {
        LogId::Tenant(_) => &OF_TENANT,
        LogId::System => &OF_SYSTEM,
        LogId::Revocations(_) => &[],
    }
}

/// Rows that are hashed, in the order of their keys.
#[derive(Default)]
pub(crate) struct Rows(Sha256, u64);

impl Rows {
    /// Takes the next: `length of key (8) || key || length of value (8) || value`.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.update(part);
        }
        self.1 += 1;
    }

    pub(crate) fn hash(self) -> RowsHash {
        RowsHash { rows: self.1, sha256: Sha256Hash(self.0.finalize().into()) }
    }
}

/// The value of a row without the MAC that it is stored with.
pub(crate) fn bare<'v>(log: &LogId, kind: Kind, value: &'v [u8]) -> &'v [u8] {
    if carries(log, kind) { SealKey::bare(value).unwrap_or(value) } else { value }
}

/// Every table of a log, in one moment.
pub(crate) async fn of_tables(view: &mut dyn StateView, log: &LogId) -> Result<Vec<TableHash>, StoreError> {
    let mut all = Vec::new();
    for (kind, name) in tables(log) {
        let (mut rows, mut last) = (Rows::default(), None);
        loop {
            let more = view.scan(*kind, last.as_deref(), STEP).await?;
            more.iter().for_each(|(key, value)| rows.add(key, bare(log, *kind, value)));
            let ended = more.len() < STEP;
            last = more.into_iter().next_back().map(|(key, _)| key);
            if ended {
                break;
            }
            yield_now().await;
        }
        all.push(TableHash { table: (*name).to_owned(), hash: rows.hash() });
    }
    Ok(all)
}

impl Inner {
    /// Risk histories that were taken in one moment.
    pub(crate) async fn hash_histories(
        &self,
        model: ModelId,
        mut taken: Vec<Taken>,
    ) -> Result<HistoriesHash, StoreError> {
        taken.sort_unstable_by_key(|one| one.agent);
        let mut rows = Rows::default();
        for some in taken.chunks(STEP) {
            for one in some {
                let value = |row: &Change| row.value.clone().unwrap_or_default();
                one.folded()?.iter().for_each(|row| rows.add(&row.key, &value(row)));
            }
            yield_now().await;
        }
        Ok(HistoriesHash { model, hash: rows.hash() })
    }
}

/// Standing revocations of an issuing CA, in the order of their records, and from how many records they follow.
pub(crate) async fn revocations(
    store: &dyn RevocationStore,
    issuer: &IssuerId,
) -> Result<(Vec<(u64, Revocation)>, u64), StoreError> {
    let (mut standing, applied) = (Vec::new(), store.applied(issuer).await?);
    loop {
        let cursor = standing.last().map_or(0, |(last, _): &(u64, _)| last.saturating_add(1));
        let more = store.after(issuer, cursor, STEP).await?;
        if more.is_empty() {
            return Ok((standing, applied));
        }
        standing.extend(more);
        yield_now().await;
    }
}

/// Their hash: the key is the index of the record, 8 octets; the value is the revocation, JSON.
pub(crate) fn of_revocations(standing: &[(u64, Revocation)]) -> Result<RowsHash, StoreError> {
    let mut rows = Rows::default();
    for (index, revocation) in standing {
        rows.add(&index.to_be_bytes(), &serde_json::to_vec(revocation).map_err(StoreError::unavailable)?);
    }
    Ok(rows.hash())
}

/// What is standing of an issuing CA, for the record; nothing if that changed while it was read.
pub(crate) async fn hash_revocations(
    store: &dyn RevocationStore,
    issuer: &IssuerId,
) -> Result<Option<RevocationsHash>, StoreError> {
    let (standing, size) = revocations(store, issuer).await?;
    let (issuer, hash, level) = (*issuer, of_revocations(&standing)?, store.applied(issuer).await? == size);
    Ok(level.then_some(RevocationsHash { issuer, size, hash }))
}
