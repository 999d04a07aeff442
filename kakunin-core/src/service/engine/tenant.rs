//! One tenant: its sequencer, which decides everything that depends on order.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::arrivals::Arrivals;
use super::cas::Growth;
use super::committed::Committed;
use super::held::Held;
use super::histories::Histories;
use super::ledger::Ledger;
use super::queue::Queue;
use super::writing::{Agents, Writing};
use crate::event::TokenKey;
use crate::id::{AgentId, TenantId};
use crate::service::state::roster::Roster;
use crate::time::UnixTime;

/// One tenant of the deployment.
#[derive(Debug)]
pub(crate) struct TenantLog {
    pub(crate) id: TenantId,
    pub(crate) tokens: TokenKey,
    /// Decisions that wait for whoever holds the sequencer next.
    pub(crate) queue: Queue,
    /// Held by whoever decides.
    pub(crate) sequencer: async_lock::Mutex<Sequencer>,
    /// Held by whoever writes; whoever decides takes it after the sequencer.
    pub(super) writing: async_lock::Mutex<Writing>,
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
    pub(crate) has_tasks: Arc<AtomicBool>,
}

/// What only one task at a time may touch.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) ledger: Ledger,
    /// Its turn at the log.
    pub(crate) turn: Held,
    /// The tenant's.
    pub(super) has_tasks: Arc<AtomicBool>,
    /// What the last append made of its agents, if it changed nothing else: it may still be under way.
    pub(super) ahead: Option<Agents>,
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
