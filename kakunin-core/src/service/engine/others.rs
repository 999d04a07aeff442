//! What other processes append to a tenant's log: heard of, read, and applied as if it had been decided here.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, select};

use super::boxed::Boxed;
use super::heard::STALE;
use super::inner::Inner;
use super::ledger::Ledger;
use super::replay::{Due, UNSUMMED, replay_one};
use super::seal;
use super::settled::Settled;
use super::system;
use super::tenant::{Sequencer, TenantLog};
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::id::{AgentId, TenantId};
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Control, Record};
use crate::service::error::Error;
use crate::service::state::projection::Projection;
use crate::store::bound::Binding;
use crate::store::state::{Change, Kind};

/// Records read at once.
const STEP: usize = 4_096;
/// Records applied while nobody reads what is committed.
const FEW: usize = 256;
/// Records that are followed one by one; what lags by more is loaded anew, from what is stored of it.
const MOST: u64 = 65_536;

impl Inner {
    /// For how long this process has not heard what others appended, in milliseconds; nothing where there are no others.
    pub(crate) fn silence(&self) -> Option<u64> {
        self.heard.silence(self.parts.clock.steady())
    }

    /// Refuses to go by what is known here once that may be too old.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) fn is_level(&self) -> Result<(), StoreError> {
        if self.silence().is_none_or(|silence| silence <= STALE) {
            return Ok(());
        }
        Err(StoreError::unavailable(
            "the database has not been heard for so long that trust may have been taken away since: it is heard while `Kakunin::run` is polled",
        ))
    }

    /// Whether a log that was read again has what is known to have been in it: where it lost records, as a standby that is made
    /// the primary may have, nothing goes on from what is left, however often it is read.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn is_all_there(&self, ledger: &Ledger) -> Result<(), StoreError> {
        match ledger.size() < self.commits.size(ledger.log()) {
            true => Err(system::cut_off(ledger.log())),
            false => Ok(()),
        }
    }

    /// Waits until it is this process's turn at a tenant's log, and has what others appended before. A turn is kept over
    /// several appends; where others may wait, not for long.
    pub(super) async fn take_turn(&self, tenant: &TenantLog, sequencer: &mut Sequencer) -> Result<(), Error> {
        let clock = &*self.parts.clock;
        if sequencer.turn.lasts(clock) {
            return Ok(());
        }
        if sequencer.turn.is_held() {
            // It is written in this turn.
            sequencer.learn(&mut *tenant.writing.lock().await);
            sequencer.turn.end();
        }
        let log = sequencer.ledger.log().clone();
        let mut waiting = self.parts.sink.turn(&log);
        let turn = loop {
            let grown = self.heard.listen();
            if !sequencer.ledger.is_stale() && self.heard.size(&log) > sequencer.ledger.size() {
                sequencer.catch_up(self).await?;
            }
            match select(waiting, grown).await {
                Either::Left((turn, _)) => break turn?,
                Either::Right(((), still)) => waiting = still,
            }
        };
        let size = turn.size();
        sequencer.turn.begin(turn, clock);
        if !sequencer.ledger.is_stale() && size.is_some_and(|size| size != sequencer.ledger.size()) {
            sequencer.catch_up(self).await?;
        }
        Ok(())
    }

    /// A tenant's sequencer in its turn, with nothing being written, for whoever writes beside those who decide.
    pub(crate) async fn in_turn<'t>(&self, tenant: &'t TenantLog) -> Result<Settled<'t>, Error> {
        let mut sequencer = tenant.sequencer.lock().await;
        self.take_turn(tenant, &mut sequencer).await?;
        Settled::of(self, tenant, sequencer).await
    }

    /// Applies what others appended to the log of a tenant that is loaded, unless that is done.
    pub(crate) async fn follow_tenant(&self, tenant: &TenantLog, size: u64) -> Result<(), Error> {
        if self.commits.size(&LogId::Tenant(tenant.id.clone())) >= size {
            return Ok(());
        }
        let mut sequencer = self.settled(tenant).await?;
        if sequencer.ledger.size() < size { sequencer.catch_up(self).await } else { Ok(()) }
    }

    /// Entries of a log up to where its ledger ends, which they lead to. Payloads of events are read only where events are told
    /// apart by what is in them.
    async fn appended(
        &self,
        log: &LogId,
        frontier: &mut Frontier,
        end: &Frontier,
    ) -> Result<Vec<Entry>, Error> {
        let mut all: Vec<Entry> = Vec::new();
        while frontier.size() < end.size() {
            let count = usize::try_from(end.size() - frontier.size()).unwrap_or(usize::MAX).min(STEP);
            let mut entries = self.parts.sink.read_leaves(log, frontier.size(), count).await?;
            if entries.iter().any(is_told_apart) {
                match self.parts.sink.read(log, frontier.size(), count).await {
                    // Without it they are duplicates of whatever comes under their names: nothing waits for a vault.
                    Err(StoreError::Vault(_)) => {}
                    read => entries = read?,
                }
            }
            entries.truncate(count);
            if entries.is_empty() {
                return Err(seal::altered(log).into());
            }
            entries.iter().for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
            all.extend(entries);
        }
        if frontier == end { Ok(all) } else { Err(seal::altered(log).into()) }
    }
}

/// Whether it is an event that came under a name or a number.
fn is_told_apart(entry: &Entry) -> bool {
    let act = Leaf::decode(&entry.leaf).ok().and_then(|leaf| leaf.act);
    act.is_some_and(|act| act.stream.is_some() || act.client_id.is_some())
}

impl Sequencer {
    /// Applies what others appended, once it is known to be what the log key signed. What follows from it they stored in the
    /// same transaction.
    pub(super) fn catch_up<'a>(&'a mut self, inner: &'a Inner) -> Boxed<'a, Result<(), Error>> {
        Box::pin(self.follow(inner))
    }

    async fn follow(&mut self, inner: &Inner) -> Result<(), Error> {
        let (log, mut frontier) = (self.ledger.log().clone(), self.ledger.frontier().clone());
        let from = frontier.size();
        self.ledger.reload(&*inner.parts.sink).await?;
        // Memory is behind it until all is applied.
        self.ledger.unsettled();
        let Some(grown) = self.ledger.size().checked_sub(from) else {
            return Err(system::cut_off(&log).into());
        };
        if grown > MOST {
            return self.reload(inner).await;
        }
        let entries = inner.appended(&log, &mut frontier, self.ledger.frontier()).await?;
        let (mut changes, mut rows) = (Vec::new(), HashSet::new());
        for (index, some) in (from..).step_by(FEW).zip(entries.chunks(FEW)) {
            self.apply_some(inner, (index, some), &mut changes, &mut rows)?;
            yield_now().await;
        }
        let has_tasks = changes.iter().any(|change: &Change| change.kind == Kind::Plan);
        for entry in rows.iter().filter_map(|id| self.committed.read().agents.get(id).cloned()) {
            changes.push(entry.change()?);
        }
        let items = self.arrivals.number(&mut changes)?;
        changes.retain(|change| !UNSUMMED.contains(&change.kind));
        let sealing = self.ledger.rows.seal(changes, &frontier);
        self.ledger.rows.take(sealing);
        self.arrivals.take(items);
        self.ahead = None;
        self.ledger.settled();
        inner.lead.saw(self.ledger.last_time(), &*inner.parts.clock);
        if has_tasks {
            self.has_tasks.store(true, Ordering::Release);
        }
        inner.commits.grew(&log, self.ledger.size());
        Ok(())
    }

    /// Applies a few records, and says what rows follow.
    fn apply_some(
        &mut self,
        inner: &Inner,
        (from, entries): (u64, &[Entry]),
        changes: &mut Vec<Change>,
        rows: &mut HashSet<AgentId>,
    ) -> Result<(), Error> {
        let all = Due { apply: true, see: true, fold: true };
        let LogId::Tenant(tenant) = self.ledger.log().clone() else { return Ok(()) };
        let mut moved = Vec::new();
        let mut committed = self.committed.write();
        for (index, entry) in (from..).zip(entries) {
            let record = Record::open(entry)?;
            self.changed.extend(record.agent);
            let of = |committed: &Projection| {
                let row = &committed.agents.get(&record.agent?)?.row;
                Some((row.agent.state, row.former.map(|former| former.until)))
            };
            let before = of(&committed);
            // Scores that come out otherwise are told of when a log is loaded.
            replay_one(inner, &mut committed, (index, &record), all, (changes, rows))?;
            if let (Some(agent), Body::Control(_)) = (record.agent, &record.body) {
                committed.recount_one(agent, before.and_then(|(_, until)| until));
                let state = of(&committed).map(|(state, _)| state);
                moved.extend(
                    state.filter(|now| before.is_none_or(|(was, _)| was != *now)).map(|now| (agent, now)),
                );
                inner.remember_record(&tenant, &record)?;
            }
        }
        drop(committed);
        self.roster.update(&moved);
        Ok(())
    }
}

impl Inner {
    /// Has it known to the deployment what a record of a tenant says of serials, keys and erasures.
    fn remember_record(&self, tenant: &TenantId, record: &Record) -> Result<(), StoreError> {
        self.bound.remember(Binding::of(record));
        let Body::Control(control) = &record.body else { return Ok(()) };
        match (&**control, record.agent) {
            (Control::CertificateIssued { facts, .. }, _) => self.serials.remember(facts.serial, tenant),
            (Control::PayloadErased { .. }, Some(agent)) => {
                self.payloads.forget(&LogId::Tenant(tenant.clone()), &agent)?;
            }
            _ => {}
        }
        Ok(())
    }
}
