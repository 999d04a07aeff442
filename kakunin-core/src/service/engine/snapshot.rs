//! Snapshots of the risk histories: taken in a moment, encoded and stored in steps while others decide.
//!
//! The rows of an agent say up to which index they are folded. A seal over all of them says from which index a start
//! replays: what is folded further already is left out for that agent. Each step writes its rows and the seal over what
//! stands then in one transaction, so that a snapshot that is cut off costs nothing; its last step moves the index on.

use super::histories::{Histories, OLD_INDEX, Taken, read};
use super::inner::Inner;
use super::replay::seal_of;
use super::seal;
use super::system;
use super::tenant::{Sequencer, TenantLog};
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::log::merkle::Frontier;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::projection::Projection;
use crate::store::state::{Change, Kind, StateView};
use crate::store::vault::Kept;
use crate::time::MINUTE;

/// Records between two snapshots, at the most about.
const RECORDS: u64 = 250_000;
/// Milliseconds between two snapshots, if there were records at all.
const INTERVAL: u64 = MINUTE;
/// Agents whose histories are stored in one step.
const STEP: usize = 128;

impl Inner {
    /// Stores what changed since the last snapshot, if it is time.
    pub(crate) async fn snapshot_if_due(&self, tenant: &TenantLog) -> Result<(), Error> {
        let due = {
            let sequencer = self.settled(tenant).await?;
            let grown = sequencer.ledger.size() - sequencer.snapshot_at;
            grown >= RECORDS || grown > 0 && self.now().since(sequencer.snapshot_time) >= INTERVAL
        };
        // It only shortens the next start: what room there is has better uses.
        if due && !self.parts.sink.room().await.full { self.snapshot(tenant).await } else { Ok(()) }
    }

    /// Has the stored rows follow from this head. A turn may be lost unnoticed, and another process may have written rows since:
    /// then their seal stays.
    async fn seal_rows(&self, sequencer: &Sequencer, head: &Frontier) -> Result<(), Error> {
        let (log, rows) = (sequencer.ledger.log(), &sequencer.ledger.rows);
        let sealing = rows.seal_anew(Vec::new(), head);
        if !self.is_shared() {
            return Ok(self.parts.state.put(log, &sealing.changes).await?);
        }
        let stored = self.parts.state.get(log, Kind::Seal, seal::ROWS).await?;
        if stored.as_ref().is_some_and(|stored| rows.follow_from(stored).is_none()) {
            return Err(StoreError::Conflict.into());
        }
        for change in &sealing.changes {
            if !self.parts.state.swap(log, stored.as_deref(), change).await? {
                return Err(StoreError::Conflict.into());
            }
        }
        Ok(())
    }

    /// Stores what changed since the last snapshot. Nobody who decides waits for more than a look at what changed.
    pub(crate) async fn snapshot(&self, tenant: &TenantLog) -> Result<(), Error> {
        let _one = tenant.snapshots.lock().await;
        let (mut histories, taken, head) = {
            // No other process writes the seal of the rows meanwhile.
            let mut sequencer = self.in_turn(tenant).await?;
            if tenant.histories.lock().await.in_doubt {
                sequencer.reload(self).await?;
            }
            // Nobody has them: whoever else wants them has the sequencer, or is the one at it.
            let mut histories = tenant.histories.lock().await;
            histories.in_doubt = true;
            let taken = sequencer.take_changed();
            let head = sequencer.ledger.frontier().clone();
            (sequencer.snapshot_at, sequencer.snapshot_time) = (head.size(), self.now());
            // From here the rows of the state follow, too: a start replays nothing that was before.
            self.seal_rows(&sequencer, &head).await?;
            (histories, taken, head)
        };
        let log = LogId::Tenant(tenant.id.clone());
        for some in taken.chunks(STEP) {
            histories.store((&*self.parts.state, &self.seal_key), &log, some).await?;
        }
        histories.floor = head;
        let seal = histories.seal(&self.seal_key, &log);
        self.parts.state.put(&log, &[seal]).await?;
        histories.in_doubt = false;
        Ok(())
    }
}

impl TenantLog {
    /// Has what is stored of histories read anew before it is stored again: somebody else may have stored them.
    pub(crate) async fn doubt_histories(&self) {
        self.histories.lock().await.in_doubt = true;
    }
}

impl Sequencer {
    /// The histories that changed since the last snapshot, as they are now.
    fn take_changed(&mut self) -> Vec<Taken> {
        let committed = self.committed.read();
        let agents = self.changed.drain().filter_map(|id| Some((id, committed.agents.get(&id)?)));
        agents.map(|(id, entry)| Taken::of(id, entry)).collect()
    }

    /// The histories of the last snapshot, and up to where all of them are folded: from the beginning if they are not as
    /// they were stored.
    pub(super) async fn load_histories(
        &self,
        inner: &Inner,
        (view, seals): (&mut dyn StateView, &[Kept]),
        projection: &mut Projection,
    ) -> Result<Frontier, Error> {
        let log = self.ledger.log();
        let mut kept = self.histories.lock().await;
        *kept = Histories::default();
        let name = log.to_string();
        let rows = system::scan_view(view, Kind::Risk).await?;
        for (key, value) in &rows {
            if let Some((id, _)) = key.split_first_chunk::<16>() {
                let mac = inner.seal_key.row(&name, Kind::Risk, key, value);
                kept.sum = kept.sum.wrapping_add(mac);
                let of = kept.of.entry(AgentId::from_bytes(*id)).or_default();
                *of = of.wrapping_add(mac);
            }
        }
        let seal = seal_of(seals, seal::HISTORIES);
        let floor =
            seal.as_ref().and_then(|seal| inner.seal_key.read(&name, seal::HISTORIES, seal, kept.sum));
        let Some(floor) = floor.filter(|floor| floor.size() <= self.ledger.size()) else {
            drop(kept);
            if seal.is_some() || !rows.is_empty() {
                self.histories_differ(inner, log);
            }
            return self.forget_histories(inner, log, projection).await;
        };
        let mut rows = rows.iter().filter(|(key, _)| key != OLD_INDEX);
        if !rows.all(|(key, value)| read_row(projection, key, value).is_some()) {
            // Under the seal, so nobody else wrote it: another version did, in a shape of its own.
            drop(kept);
            return self.forget_histories(inner, log, projection).await;
        }
        kept.floor = floor.clone();
        Ok(floor)
    }

    /// Notes it, unless they were stored by a version that sealed nothing.
    pub(super) fn histories_differ(&self, inner: &Inner, log: &LogId) {
        if inner.is_sealed() {
            inner.damages.note(format!(
                "the risk histories of log {log} were changed by somebody else; they are folded anew from it"
            ));
        }
    }

    /// Takes away what is stored of histories and what was read of them: they are folded anew from the beginning, which it
    /// gives, and stored again.
    pub(super) async fn forget_histories(
        &self,
        inner: &Inner,
        log: &LogId,
        projection: &mut Projection,
    ) -> Result<Frontier, Error> {
        projection.agents.values_mut().for_each(AgentEntry::begin_history);
        *self.histories.lock().await = Histories::default();
        // Others may go by them.
        if !self.may_mend(inner) {
            return Ok(Frontier::default());
        }
        let rows = system::scan(&inner.parts, log, Kind::Risk).await?;
        let gone = |kind, key| Change { kind, key, value: None };
        let mut all: Vec<_> = rows.into_iter().map(|(key, _)| gone(Kind::Risk, key)).collect();
        if inner.parts.state.get(log, Kind::Seal, seal::HISTORIES).await?.is_some() {
            all.push(gone(Kind::Seal, seal::HISTORIES.to_vec()));
        }
        // Where nothing is stored nothing is written: a disk that is full holds up nobody who takes trust away.
        if !all.is_empty() {
            inner.parts.state.put(log, &all).await?;
        }
        Ok(Frontier::default())
    }
}

/// Reads one row into its agent's entry, if there is such an agent.
fn read_row(projection: &mut Projection, key: &[u8], value: &[u8]) -> Option<()> {
    let (id, part) = key.split_first_chunk::<16>()?;
    projection.agents.get_mut(&AgentId::from_bytes(*id)).map_or(Some(()), |entry| read(entry, part, value))
}
