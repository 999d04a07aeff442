//! Beginning to seal what is stored, and looking again while it is in use: at the rows when somebody else
//! wrote, at the logs all the time, a little at once.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::checking::{Checking, Reading};
use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::walk::{Beside, Fault, look};
use crate::service::command::system::sealing::BeginSeals;
use crate::service::engine::secret::commitment_of;
use crate::service::engine::tenant::TenantLog;
use crate::service::engine::{seal, system};
use crate::service::error::Error;
use crate::service::state::own;
use crate::store::state::{Change, Kind};
use crate::time::{HOUR, SECOND};

/// Records looked at in one step: some ten milliseconds of a second.
const STEP: u64 = 4_096;
/// Milliseconds between the end of one look at all logs and the next.
const REST: u64 = HOUR;

/// Looks again at what is stored: whether somebody else wrote, and whether the logs are what was signed.
pub(super) struct Checks;

#[async_trait]
impl Follower for Checks {
    fn name(&self) -> &'static str {
        "checks"
    }

    fn logs(&self, _: &Running) -> Option<Vec<LogId>> {
        // All of them, one after the other.
        Some(vec![LogId::System])
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: SECOND, longest: 4 * SECOND }
    }

    async fn step(&self, running: &Running, _: &LogId, _: &mut Turn<'_>) -> Result<(), Error> {
        running.look_again().await
    }
}

impl Running {
    /// Puts it on record that stored state is believed only under a seal, once all of it is: what was written
    /// by a version before is made anew from the logs.
    pub(crate) async fn begin_seals(&self) -> Result<(), Error> {
        let inner = self;
        if inner.is_sealed() {
            return Ok(());
        }
        for id in inner.tenant_ids() {
            inner.tenant(&id).await?;
            inner.tag_all(&LogId::Tenant(id)).await?;
        }
        inner.tag_all(&LogId::System).await?;
        let (secret, keys) = (commitment_of(&inner.token_secret), inner.api_keys.to_commit());
        inner.order(&BeginSeals { secret, keys }, None).await
    }

    /// Gives a MAC to what has none yet.
    async fn tag_all(&self, log: &LogId) -> Result<(), Error> {
        for kind in [Kind::Plan, Kind::Dedup, Kind::Inbox, Kind::Certificate, Kind::Cursor, Kind::Crl] {
            let bare = |(key, value): (Vec<u8>, Vec<u8>)| {
                let has = self.seal_key.open(&log.to_string(), kind, &key, &value).is_some();
                (!has).then_some(Change { kind, key, value: Some(value) })
            };
            let rows = system::scan(&self.parts, log, kind).await?;
            let rows = rows.into_iter().filter_map(bare);
            let rows: Vec<_> = rows.map(|change| self.seal_key.tagged(log, change)).collect();
            self.parts.state.put(log, &rows).await?;
        }
        Ok(())
    }

    /// Looks whether somebody else wrote, and at a few more records; then applies what another process recorded.
    async fn look_again(&self) -> Result<(), Error> {
        let mut checking = self.checking.lock().await;
        let touched = self.parts.state.touched().await?;
        for what in touched.structure.iter().skip(checking.structure) {
            self.damages.note(what.clone());
        }
        checking.structure = touched.structure.len();
        if touched.writes > checking.writes {
            checking.writes = touched.writes;
            self.damages.note("somebody else wrote to the store while it was in use");
            (checking.logs, checking.at, checking.ended) = (VecDeque::new(), None, None);
            self.foreign_writes.store(touched.writes, Ordering::Release);
            self.look_at_indexes();
            self.check_rows().await?;
        }
        if let Err(error) = self.read_on(&mut checking).await {
            let log = checking.at.take().map(|reading| reading.log.to_string()).unwrap_or_default();
            self.damages.note(format!("log {log} cannot be read: {error}"));
        }
        self.follow_system().await
    }

    /// Holds every row that counts against what is known here, and makes it so again.
    async fn check_rows(&self) -> Result<(), Error> {
        {
            let mut system = self.system.lock().await;
            system.unsettled();
            self.settle_system(&mut system).await?;
            self.look_at_api_keys(&mut system).await?;
        }
        for ca in self.cas.all() {
            if self.revocations_agree(&ca, ca.growth.size()).await? {
                continue;
            }
            // Perhaps one came in between: once more, and nobody revokes meanwhile.
            let mut ledger = ca.log.lock().await;
            self.settle_revocations(&ca, &mut ledger).await?;
            self.check_revocations(&ca, &ledger).await?;
        }
        for tenant in self.loaded_tenants().await {
            self.check_tenant(&tenant).await?;
        }
        Ok(())
    }

    async fn check_tenant(&self, tenant: &TenantLog) -> Result<(), Error> {
        let mut sequencer = self.in_turn(tenant).await?;
        let log = sequencer.ledger.log().clone();
        let mut stored = sequencer.ledger.rows.cleared();
        for kind in [Kind::Agent, Kind::Standing].into_iter().chain(own::TABLES) {
            for (key, value) in system::scan(&self.parts, &log, kind).await? {
                stored.add(kind, key, &value);
            }
        }
        let sealed = self.parts.state.get(&log, Kind::Seal, seal::ROWS).await?;
        let wrong = sequencer.ledger.rows.differing(&stored);
        let sealed = sealed.is_none_or(|seal| sequencer.ledger.rows.follow_from(&seal).is_some());
        if wrong.is_empty() && (sealed || sequencer.ledger.size() == 0) {
            return Ok(());
        }
        let changes = sequencer.rows_of(&wrong)?;
        let sealing = sequencer.ledger.rows.seal_anew(changes, sequencer.ledger.frontier());
        self.parts.state.put(&log, &sealing.changes).await?;
        sequencer.ledger.rows.take(sealing);
        self.damages.rebuilt(&log, &wrong);
        Ok(())
    }

    /// Reads a few more records, and notes those that are not what was signed.
    async fn read_on(&self, checking: &mut Checking) -> Result<(), Error> {
        if checking.at.is_none() {
            checking.at = self.next_log(checking).await?;
        }
        let Some(reading) = &mut checking.at else { return Ok(()) };
        let from = reading.frontier.size();
        let count = usize::try_from((reading.signed.size - from).min(STEP)).unwrap_or(usize::MAX);
        let entries = self.parts.sink.read(&reading.log, from, count).await?;
        for (index, entry) in (from..).zip(&entries) {
            let mut found = self.check_entry(&reading.log, index, entry);
            if matches!(found, Err(Fault::PayloadGone)) && self.is_shared() {
                // Perhaps another process erased it, and that was not read here yet.
                self.read_up(&reading.log).await?;
                found = self.check_entry(&reading.log, index, entry);
            }
            if let Err(why) = found {
                self.damages.note(format!("record {index} of log {}: {why}", reading.log));
            }
            reading.frontier.push(leaf_hash(&entry.leaf));
        }
        if entries.is_empty() || reading.frontier.size() >= reading.signed.size {
            if reading.frontier.root() != reading.signed.root {
                self.damages.note(seal::altered(&reading.log).to_string());
            }
            checking.at = None;
        }
        Ok(())
    }

    async fn next_log(&self, checking: &mut Checking) -> Result<Option<Reading>, Error> {
        if checking.logs.is_empty() {
            let now = self.now();
            if checking.ended.is_some_and(|ended| now.since(ended) < REST && ended <= now) {
                return Ok(None);
            }
            checking.logs = self.parts.sink.logs().await?.into();
            checking.ended = Some(now);
        }
        let Some(log) = checking.logs.pop_front() else { return Ok(None) };
        // What cannot be compared now is no damage, and compared in an hour.
        let _ = self.compare_state(&log).await;
        let (_, note) = self.parts.sink.head(&log).await?;
        let Some(note) = note else { return Ok(None) };
        let signed = Checkpoint::open(&note, &self.log_key(&log)?)
            .map_err(|_| StoreError::Corrupt(format!("the checkpoint of log {log} is not by its log key")))?;
        Ok(Some(Reading { log, frontier: Frontier::default(), signed }))
    }
}

impl Running {
    /// Applies what is on record of a tenant that is loaded.
    async fn read_up(&self, log: &LogId) -> Result<(), Error> {
        let Some(tenant) = self.loaded(log).await else { return Ok(()) };
        let (head, _) = self.parts.sink.head(log).await?;
        self.follow_tenant(&tenant, head.frontier.size()).await
    }

    /// Whether what lies beside a leaf is what it commits to, or was erased.
    fn check_entry(&self, log: &LogId, index: u64, entry: &Entry) -> Result<(), Fault> {
        let (leaf, beside) = look(entry)?;
        let erased = |agent| self.payloads.erased(log, (index, leaf.time), &agent).is_some();
        match beside {
            Beside::Gone if !leaf.agent.is_some_and(erased) => Err(Fault::PayloadGone),
            _ => Ok(()),
        }
    }
}
