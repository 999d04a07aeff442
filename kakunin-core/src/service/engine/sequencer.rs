//! What the sequencer of a tenant does: drafts, and makes what was decided the state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::arrivals::Arrivals;
use super::cas::Growth;
use super::held::Held;
use super::inner::Inner;
use super::ledger::Place;
use super::queue::Queue;
use super::seal::RowKey;
use super::tenant::{Sequencer, TenantLog};
use super::writing::{Agents, Writing};
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::log::entry::LogId;
use crate::log::record::{Control, Record};
use crate::service::command::draft::{Decided, Draft, Rules};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::{CertificateState, Certificates};
use crate::service::state::notices;
use crate::service::state::own::{self, Own};
use crate::service::state::projection::Projection;
use crate::store::audit::Head;
use crate::store::bound::Binding;
use crate::store::state::{Change, Kind};

impl TenantLog {
    pub(crate) async fn load(inner: &Inner, id: TenantId) -> Result<Self, Error> {
        let log = LogId::Tenant(id.clone());
        let tokens = inner.tokens_of(&id);
        let ledger = inner.ledger(log).await?;
        let inbox = Arc::<Growth>::default();
        let mut sequencer = Sequencer {
            ledger,
            turn: Held::default(),
            has_tasks: Arc::new(AtomicBool::new(true)),
            ahead: None,
            arrivals: Arrivals::ringing(inbox.clone()),
            committed: Arc::default(),
            roster: Arc::default(),
            histories: Arc::default(),
            changed: HashSet::new(),
            snapshot_at: 0,
            snapshot_time: inner.now(),
        };
        sequencer.reload(inner).await?;
        let has_tasks = sequencer.has_tasks.clone();
        Ok(Self {
            id,
            tokens,
            queue: Queue::default(),
            roster: sequencer.roster.clone(),
            committed: sequencer.committed.clone(),
            snapshots: async_lock::Mutex::default(),
            histories: sequencer.histories.clone(),
            sequencer: async_lock::Mutex::new(sequencer),
            writing: async_lock::Mutex::default(),
            inbox,
            marks: async_lock::Mutex::default(),
            receipts: async_lock::Mutex::default(),
            has_tasks,
        })
    }
}

impl Sequencer {
    /// Makes sure that memory is what the store has, after a call that failed or was cancelled.
    pub(crate) async fn settle(&mut self, inner: &Inner) -> Result<(), Error> {
        if self.ledger.is_stale() {
            // What a dropped caller left in the store's queue is written before this is answered.
            inner.parts.state.touched().await?;
            self.reload(inner).await?;
        }
        Ok(())
    }

    /// Learns how the append ended that was under way: whether what was decided on it stands.
    pub(super) fn learn(&mut self, writing: &mut Writing) -> bool {
        match std::mem::take(writing) {
            Writing::Done => return true,
            Writing::Refused(place) => self.ledger.back_to(place),
            Writing::InDoubt => self.ledger.unsettled(),
        }
        self.ahead = None;
        false
    }

    /// Goes on from what is about to be written, and says where the log ended before it.
    pub(super) fn go_ahead(&mut self, inner: &Inner, head: Head, agents: Agents) -> Place {
        let before = self.ledger.place();
        self.ledger.appended(head, inner.log_now());
        self.changed.extend(agents.keys());
        self.ahead = Some(agents);
        before
    }

    /// A draft over what is committed, and what is being written.
    pub(crate) fn draft<'d>(
        &'d self,
        inner: &'d Inner,
        tenant: &'d TenantLog,
        committed: &'d Projection,
    ) -> Draft<'d> {
        let time = self.ledger.time(inner.log_now());
        let rules = Rules {
            settings: &inner.settings,
            models: &inner.models,
            second: inner.parts.shadow.as_deref(),
            place: &inner.place,
            bound: &inner.bound,
            api_keys: &inner.api_keys,
        };
        let after = (self.ledger.size(), self.ledger.last_time());
        let mut draft = Draft::new(rules, &tenant.tokens, committed, after, (time, inner.now()));
        draft.ahead = self.ahead.as_deref();
        draft
    }

    /// Appends what was decided, and makes it the state; nobody who follows the log is woken.
    pub(crate) async fn commit(&mut self, inner: &Inner, decided: Decided) -> Result<(), Error> {
        if decided.records.is_empty() {
            return Ok(());
        }
        let mut changes = decided.changes;
        let items = self.arrivals.number(&mut changes)?;
        let level = inner
            .append(&mut self.ledger, &decided.records, changes, &decided.revocations, decided.reserved)
            .await?;
        inner.bound.remember(decided.bound.into_iter().map(|(key, agent)| Binding { key, agent }));
        self.commit_in_memory(decided.agents, decided.certificates, &decided.left, decided.own);
        self.arrivals.take(items);
        inner.serials.forget(&decided.left);
        if level {
            self.ledger.settled();
        }
        Ok(())
    }

    /// Makes it what everybody reads, before anybody is answered.
    fn commit_in_memory(
        &mut self,
        agents: HashMap<AgentId, AgentEntry>,
        certificates: HashMap<Serial, CertificateState>,
        left: &HashSet<Serial>,
        own: Option<Own>,
    ) {
        self.changed.extend(agents.keys());
        self.ahead = None;
        let mut committed = self.committed.write();
        let moved = agents.iter().map(|(id, entry)| (*id, entry.row.agent.state));
        let known = &committed.agents;
        let moved = moved.filter(|(id, state)| known.get(id).is_none_or(|old| old.row.agent.state != *state));
        let moved: Vec<_> = moved.collect();
        committed.certificates.extend(certificates, left);
        agents.into_values().for_each(|entry| committed.put(entry));
        if let Some(own) = own {
            committed.own = own;
        }
        drop(committed);
        self.roster.update(&moved);
    }

    /// Appends a record that is about no agent.
    pub(crate) async fn note(&mut self, inner: &Inner, control: Control) -> Result<(), Error> {
        let record = Record::control(self.ledger.time(inner.log_now()), None, None, control);
        let mut changes = notices::changes(&record, self.ledger.size())?;
        let items = self.arrivals.number(&mut changes)?;
        if inner.append(&mut self.ledger, &[record], changes, &[], false).await? {
            self.ledger.settled();
        }
        self.arrivals.take(items);
        inner.commits.grew(self.ledger.log(), self.ledger.size());
        Ok(())
    }

    /// These rows as they must be; none for what is not there.
    pub(crate) fn rows_of(&self, rows: &[RowKey]) -> Result<Vec<Change>, StoreError> {
        let committed = self.committed.read();
        let (agents, certificates) = (&committed.agents, &committed.certificates);
        let listed: HashMap<_, _> =
            match rows.iter().any(|(kind, key)| *kind == Kind::Standing && key.len() != 16) {
                true => certificates.states().map(|c| (c.listed().key, c)).collect(),
                false => HashMap::new(),
            };
        let row = |(kind, key): &RowKey| {
            if own::TABLES.contains(kind) {
                let row = committed.own.row(*kind, key)?;
                return Ok(row.unwrap_or_else(|| Change { kind: *kind, key: key.clone(), value: None }));
            }
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
