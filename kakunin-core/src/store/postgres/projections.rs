//! What follows from logs, and what lies beside them.

use async_trait::async_trait;

use super::changes::{Changes, Revoked};
use super::error::of_commit;
use super::link::{Value, WRITE};
use super::pipeline::Pipeline;
use super::rows;
use super::sql;
use super::store::PostgresStore;
use super::values::clamp;
use super::view::View;
use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::log::entry::LogId;
use crate::revoke::{Revocation, RevocationChange};
use crate::store::revocations::RevocationStore;
use crate::store::state::{Change, Kind, StateStore, StateView, Touched};

#[async_trait]
impl StateStore for PostgresStore {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        if self.state.reaches(log, index) {
            return Ok(());
        }
        let applied = StateStore::applied(self, log).await?;
        if applied < index {
            let (name, upto, c) = (log.to_string(), clamp(index), Changes::of(changes));
            let values: [Value<'_>; 7] =
                [&name, &upto, &c.kinds, &c.keys, &c.values, &c.gone_kinds, &c.gone_keys];
            self.alone(log, sql::APPLY, &values).await?;
        }
        self.state.raise(log, applied.max(index));
        Ok(())
    }

    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        rows::applied(&*self.reader().await?, log).await
    }

    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let (name, changes) = (log.to_string(), Changes::of(changes));
        let slot = self.writers.of(log).await?;
        let link = slot.link.clone();
        let mut pipeline = Pipeline::begin(&link);
        changes.put(&name, &link, &mut pipeline)?;
        let sent = pipeline.send().await?;
        drop(slot);
        sent.outcome().await
    }

    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        let (name, kind, key) = (log.to_string(), i16::from(change.kind.code()), change.key.as_slice());
        let done = match (expected, change.value.as_deref()) {
            (None, None) => return Ok(self.get(log, change.kind, key).await?.is_none()),
            (None, Some(new)) => self.alone(log, sql::SWAP_NEW, &[&name, &kind, &key, &new]).await?,
            (Some(old), None) => self.alone(log, sql::SWAP_GONE, &[&name, &kind, &key, &old]).await?,
            (Some(old), Some(new)) => self.alone(log, sql::SWAP, &[&name, &kind, &key, &new, &old]).await?,
        };
        Ok(done > 0)
    }

    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        rows::get(&*self.reader().await?, log, kind, key).await
    }

    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<rows::Pairs, StoreError> {
        rows::scan(&*self.reader().await?, log, kind, after, limit).await
    }

    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        let lent = self.views.lend().await?;
        Ok(Box::new(View::open(lent, self.connector.runs.clone(), log).await?))
    }

    async fn touched(&self) -> Result<Touched, StoreError> {
        // Whoever writes here is one of several processes: what they wrote is nobody else's.
        Ok(Touched::default())
    }
}

#[async_trait]
impl RevocationStore for PostgresStore {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        let Some(next) = changes.last().map(|(last, _)| last.saturating_add(1)) else { return Ok(()) };
        if self.revocations.reaches(issuer, next) {
            return Ok(());
        }
        let applied = RevocationStore::applied(self, issuer).await?;
        if applied < next {
            let revoked = Revoked::of(issuer, changes)?;
            self.alone(issuer, sql::REVOKE, &revoked.values()).await?;
        }
        self.revocations.raise(issuer, applied.max(next));
        Ok(())
    }

    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        rows::revocations_applied(&*self.reader().await?, issuer).await
    }

    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        rows::find(&*self.reader().await?, issuer, serial).await
    }

    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        rows::after(&*self.reader().await?, issuer, cursor, limit).await
    }

    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        let standing = Revoked::standing(issuer, applied, standing)?;
        let slot = self.writers.of(issuer).await?;
        let link = slot.link.clone();
        link.prepare(&[sql::FORGET, sql::STANDING, sql::SET_REVOCATIONS_APPLIED]).await?;
        let mut pipeline = Pipeline::begin(&link);
        standing.replace(&link, &mut pipeline)?;
        let sent = pipeline.send().await?;
        drop(slot);
        sent.outcome().await?;
        self.revocations.raise(issuer, applied);
        Ok(())
    }
}

impl PostgresStore {
    /// One statement that is a transaction by itself.
    async fn alone(
        &self,
        whose: &(impl std::hash::Hash + Sync),
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        let slot = self.writers.of(whose).await?;
        slot.link.prepare(&[sql]).await?;
        let link = slot.link.clone();
        let statement = link.statement(sql)?;
        // Those of one log need no order among each other: they are answered before the next is called.
        drop(slot);
        let _limit = link.limit(WRITE);
        link.client().execute(&statement, values).await.map_err(of_commit)
    }
}
