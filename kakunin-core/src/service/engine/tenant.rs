//! One tenant: its sequencer, which decides everything that depends on order.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::arrivals::Arrivals;
use super::cas::Growth;
use super::committed::Committed;
use super::histories::Histories;
use super::job::Job;
use super::ledger::Ledger;
use crate::event::TokenKey;
use crate::id::{AgentId, TenantId};
use crate::service::command::decide::Need;
use crate::service::state::roster::Roster;
use crate::time::UnixTime;

/// One tenant of the deployment.
#[derive(Debug)]
pub(crate) struct TenantLog {
    pub(crate) id: TenantId,
    pub(crate) tokens: TokenKey,
    /// Decisions that wait for whoever holds the sequencer next.
    pub(crate) queue: Mutex<Vec<Job>>,
    pub(crate) sequencer: async_lock::Mutex<Sequencer>,
    /// What the log amounts to, for whoever reads.
    pub(crate) committed: Arc<Committed>,
    pub(crate) roster: Arc<Roster>,
    /// Held while a snapshot is taken and stored.
    pub(super) snapshots: async_lock::Mutex<()>,
    pub(super) histories: Arc<async_lock::Mutex<Histories>>,
    /// How far its inbox has come.
    pub(crate) inbox: Arc<Growth>,
    /// Held while it is changed what somebody has read of it.
    pub(crate) marks: async_lock::Mutex<()>,
    /// Held while a receipt is signed.
    pub(crate) receipts: async_lock::Mutex<()>,
    /// Whether there may be something new to tell the key provider: to look costs more than most decisions.
    pub(crate) has_tasks: AtomicBool,
}

/// What only one task at a time may touch.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) ledger: Ledger,
    /// What comes into the tenant's inbox.
    pub(super) arrivals: Arrivals,
    /// The tenant's, changed by this alone.
    pub(crate) committed: Arc<Committed>,
    /// The tenant's.
    pub(crate) roster: Arc<Roster>,
    /// The tenant's.
    pub(super) histories: Arc<async_lock::Mutex<Histories>>,
    /// Agents whose histories are not stored as they are now.
    pub(super) changed: HashSet<AgentId>,
    pub(super) snapshot_at: u64,
    pub(super) snapshot_time: UnixTime,
}

impl TenantLog {
    pub(super) fn enqueue(&self, job: Job) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    /// Jobs that were waiting, up to about `limit` records; their order is kept, but that those come first, and alone,
    /// that take trust away: no other one is written into what is set aside for them.
    pub(super) fn take_jobs(&self, limit: usize) -> Vec<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = 0;
        if queue.iter().any(|job| job.need == Need::Reserved) {
            let take = |job: &mut Job| {
                let fits = job.need == Need::Reserved && (records == 0 || records + job.records <= limit);
                records += if fits { job.records } else { 0 };
                fits
            };
            return queue.extract_if(.., take).collect();
        }
        let fits = queue.iter().take_while(|job| {
            let first = records == 0;
            records += job.records;
            first || records <= limit
        });
        let count = fits.count();
        queue.drain(..count).collect()
    }
}
