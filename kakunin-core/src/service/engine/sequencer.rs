//! What the sequencer of a tenant does: drafts, and makes what was decided the state.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::inner::Inner;
use super::seal::RowKey;
use super::tenant::{Sequencer, Tenant};
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::log::entry::LogId;
use crate::log::record::{Control, Record};
use crate::service::command::draft::{Decided, Draft, Rules};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::bound::Claim;
use crate::service::state::certificates::Certificates;
use crate::service::state::notices;
use crate::service::state::projection::Projection;
use crate::store::state::{Change, Kind};
use crate::time::MINUTE;

/// Records between two snapshots of the risk histories.
const SNAPSHOT_RECORDS: u64 = 250_000;
/// Milliseconds between two snapshots of the risk histories.
const SNAPSHOT_INTERVAL: u64 = MINUTE;

impl Tenant {
    pub(crate) async fn load(inner: &Inner, id: TenantId) -> Result<Self, Error> {
        let log = LogId::Tenant(id.clone());
        let tokens = inner.tokens_of(&id);
        let ledger = inner.ledger(log).await?;
        let mut sequencer = Sequencer {
            ledger,
            projection: Projection::default(),
            roster: Arc::default(),
            snapshot_at: 0,
            snapshot_time: inner.now(),
            claims: Vec::new(),
        };
        sequencer.reload(inner).await?;
        Ok(Self {
            id,
            tokens,
            queue: Mutex::default(),
            roster: sequencer.roster.clone(),
            sequencer: async_lock::Mutex::new(sequencer),
            receipts: async_lock::Mutex::default(),
            has_tasks: AtomicBool::new(true),
        })
    }
}

impl Sequencer {
    /// Makes sure that memory is what the store has, after a call that failed or was cancelled.
    pub(crate) async fn settle(&mut self, inner: &Inner) -> Result<(), Error> {
        if self.ledger.is_stale() {
            self.reload(inner).await?;
        }
        // What was written is known now.
        self.claims.clear();
        Ok(())
    }

    pub(crate) fn draft<'d>(&'d self, inner: &'d Inner, tenant: &'d Tenant) -> Draft<'d> {
        let time = self.ledger.time(inner.now());
        let rules = Rules {
            policy: &inner.policy,
            model: &*inner.parts.model,
            place: &inner.place,
            bound: &inner.bound,
            api_keys: &inner.api_keys,
        };
        let after = (self.ledger.size(), self.ledger.last_time());
        Draft::new(rules, &tenant.tokens, &self.projection, after, (time, inner.now()))
    }

    /// Appends what was decided, and makes it the state.
    pub(crate) async fn commit(&mut self, inner: &Inner, decided: Decided) -> Result<(), Error> {
        if decided.records.is_empty() {
            return Ok(());
        }
        self.claims = decided.claims;
        let appended = inner
            .append(
                &mut self.ledger,
                &decided.records,
                decided.changes,
                &decided.revocations,
                decided.reserved,
            )
            .await;
        if appended.is_err() && !self.ledger.is_stale() {
            // Certain: nothing was written.
            self.claims.clear();
        }
        let level = appended?;
        self.claims.drain(..).for_each(Claim::recorded);
        let moved = decided.agents.iter().map(|(id, entry)| (*id, entry.row.agent.state));
        let known = &self.projection.agents;
        let moved = moved.filter(|(id, state)| known.get(id).is_none_or(|old| old.row.agent.state != *state));
        self.roster.update(&moved.collect::<Vec<_>>());
        decided.agents.into_values().for_each(|entry| self.projection.put(entry));
        self.projection.certificates.extend(decided.certificates);
        if level {
            self.ledger.settled();
        }
        let due = self.ledger.size() - self.snapshot_at >= SNAPSHOT_RECORDS
            || inner.now().since(self.snapshot_time) >= SNAPSHOT_INTERVAL;
        if due && self.snapshot(inner).await.is_err() {
            // The records are durable; a snapshot only shortens the next start. Not at once again.
            self.snapshot_time = inner.now();
        }
        Ok(())
    }

    /// Appends a record that is about no agent.
    pub(crate) async fn note(&mut self, inner: &Inner, control: Control) -> Result<(), Error> {
        let record = Record::control(self.ledger.time(inner.now()), None, None, control);
        let changes = notices::changes(&record, self.ledger.size())?;
        if inner.append(&mut self.ledger, &[record], changes, &[], false).await? {
            self.ledger.settled();
        }
        Ok(())
    }

    /// These rows as they must be; none for what is not there.
    pub(crate) fn rows_of(&self, rows: &[RowKey]) -> Result<Vec<Change>, StoreError> {
        let (agents, certificates) = (&self.projection.agents, &self.projection.certificates);
        let listed: HashMap<_, _> =
            match rows.iter().any(|(kind, key)| *kind == Kind::Standing && key.len() != 16) {
                true => certificates.states().map(|c| (c.listed().key, c)).collect(),
                false => HashMap::new(),
            };
        let row = |(kind, key): &RowKey| {
            let id = <[u8; 16]>::try_from(key.as_slice()).ok();
            let change = match kind {
                Kind::Agent => id.and_then(|id| agents.get(&AgentId::from_bytes(id))).map(AgentEntry::change),
                _ => {
                    id.and_then(Serial::from_bytes).and_then(|serial| certificates.get(&serial)).map_or_else(
                        || listed.get(key).map(|c| Ok(c.listed())),
                        |certificate| Some(certificate.change()),
                    )
                }
            };
            change.unwrap_or_else(|| Ok(Change { kind: *kind, key: key.clone(), value: None }))
        };
        rows.iter().map(row).collect()
    }
}
