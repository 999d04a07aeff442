//! What was decided and the key provider has yet to be told: stored with the decision, tried until done.
//!
//! A decision takes effect without it: whoever asks for a certificate's standing gets the new answer, and
//! the key's own refusal follows when the provider can be reached.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::backoff::Backoff;
use super::error::Error;
use super::lifecycle::known;
use super::projection::{KeyAction, KeyTask, set};
use super::tenant::{Tenant, scan};
use super::{Inner, Kakunin};
use crate::error::StoreError;
use crate::key::{KeyRef, PlannedKeyId, SignError};
use crate::log::record::Control;
use crate::log::sink::LogId;
use crate::state::{Change, Kind};

/// After how many attempts in vain people are told.
const PATIENCE: u32 = 3;

/// What somebody who adds to it works off at most.
const AT_ONCE: usize = 16;

/// How the work of one tenant goes. Held while it is done, so that tasks of one key keep their order.
pub(super) type Attempts = Backoff;

/// What is left to tell the key provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Keys to be disabled, enabled, retired or looked for, over all tenants that are loaded.
    pub left: usize,
    /// Tenants whose last attempt failed.
    pub failing: usize,
}

impl Kakunin {
    /// Supersedes renewed certificates whose grace is over, and tells the key provider what it has yet to be told, for every tenant that is loaded and whose turn it
    /// is: after a failure the next attempt waits 1 s, then twice as long, at most a minute. To be called
    /// about once a second; after three attempts in vain an item in the inbox says so. Looks as well whether
    /// somebody else wrote to the store, and at a few records of the logs: see [`Kakunin::damage`].
    ///
    /// # Errors
    /// What the store says. A provider that fails is no error: it is counted.
    pub async fn tend(&self) -> Result<Tended, Error> {
        let tenants: Vec<_> = self.inner.tenants.read().await.values().flatten().cloned().collect();
        let (mut tended, mut ended) = (Tended::default(), Ok(()));
        for tenant in tenants {
            // Whatever becomes of it: keys wait for their provider, and not for the log.
            let graces = self.inner.end_due_graces(&tenant).await;
            let mut attempts = tenant.attempts.lock().await;
            let left = self.inner.attempt(&tenant, &mut attempts, usize::MAX).await?;
            tended.left += left;
            tended.failing += usize::from(left > 0 && attempts.failures() > 0);
            ended = ended.and(graces);
        }
        *self.inner.tended.lock().unwrap_or_else(PoisonError::into_inner) = tended;
        let looked = self.inner.look_again().await;
        ended.and(looked).map(|()| tended)
    }

    /// What the last call of [`Kakunin::tend`] left.
    #[must_use]
    pub fn tended(&self) -> Tended {
        *self.inner.tended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Tells the key provider at once, unless it is far, somebody is at it, or it failed a moment ago: then
    /// [`Kakunin::tend`] does it. Nobody who takes an identity away waits for a provider that is down, nor for
    /// more than a few keys of others.
    pub(super) async fn run_key_tasks(&self, tenant: &Tenant) {
        if !self.parts.keys.is_near() || !tenant.has_tasks.load(Ordering::Acquire) {
            return;
        }
        if let Some(mut attempts) = tenant.attempts.try_lock() {
            // What fails stays in the store.
            let _ = self.attempt(tenant, &mut attempts, AT_ONCE).await;
        }
    }

    /// Works off the oldest of what is stored, and says whether all of it is done.
    async fn attempt(&self, tenant: &Tenant, attempts: &mut Attempts, most: usize) -> Result<usize, Error> {
        // Before it is looked for: what is added meanwhile says so again.
        tenant.has_tasks.store(false, Ordering::Release);
        let left = self.work_off(tenant, attempts, most).await;
        if !matches!(left, Ok(0)) {
            tenant.has_tasks.store(true, Ordering::Release);
        }
        left
    }

    /// Works it off if it is time, and says how much is left, or 1 if there may be more.
    async fn work_off(&self, tenant: &Tenant, attempts: &mut Attempts, most: usize) -> Result<usize, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let tasks = match most {
            usize::MAX => scan(self, &log, Kind::Plan).await?,
            most => {
                let rows = self.parts.state.scan(&log, Kind::Plan, None, most).await?;
                self.opened(&log, Kind::Plan, rows).await?
            }
        };
        if tasks.is_empty() || !attempts.is_due(self.now()) {
            return Ok(tasks.len());
        }
        let more = usize::from(tasks.len() == most);
        let mut stuck: Vec<(Vec<u8>, KeyTask)> = Vec::new();
        for (row, value) in tasks {
            let task: KeyTask = serde_json::from_slice(&value)
                .map_err(|_| StoreError::Corrupt("a key task does not decode".into()))?;
            // Tasks of one key are done in their order; those of others need not wait for it.
            let waits = stuck.iter().any(|(_, before)| before.key == task.key);
            if waits || self.perform(tenant, &task).await.is_err() {
                stuck.push((row, task));
                continue;
            }
            self.parts.state.put(&log, &[Change { kind: Kind::Plan, key: row, value: None }]).await?;
        }
        let left = stuck.len();
        if left == 0 {
            attempts.succeeded();
            return Ok(more);
        }
        attempts.failed(self.now());
        if attempts.failures() >= PATIENCE {
            for (row, task) in stuck {
                match self.tell(tenant, &log, row, task).await {
                    // Later, when there is room.
                    Err(Error::Store(StoreError::Full)) => break,
                    told => told?,
                }
            }
        }
        Ok(left + more)
    }

    async fn perform(&self, tenant: &Tenant, task: &KeyTask) -> Result<(), Error> {
        let keys = &self.parts.keys;
        let done = match task.task {
            KeyAction::Disable => keys.disable(&task.key).await.or_else(cannot_sign),
            KeyAction::Ungrant => keys.ungrant(&task.key).await.or_else(cannot_sign),
            KeyAction::Receipt => {
                let Some(halt) = &task.halt else { return Ok(()) };
                return self.receipt(tenant, &task.agent, halt).await.map(|_| ());
            }
            KeyAction::Enable => keys.enable(&task.key).await.or_else(cannot_sign),
            KeyAction::Retire => {
                // At once, and then for good.
                keys.disable(&task.key).await.or_else(cannot_sign)?;
                keys.retire(&task.key).await.or_else(cannot_sign)
            }
            KeyAction::Sweep => {
                let Some(planned) = PlannedKeyId::parse(task.key.as_str()) else { return Ok(()) };
                for orphan in keys.find(&planned).await? {
                    keys.retire(&orphan).await.or_else(cannot_sign)?;
                }
                Ok(())
            }
        };
        Ok(done?)
    }

    /// Puts a delay on record and into the inbox, once.
    async fn tell(&self, tenant: &Tenant, log: &LogId, row: Vec<u8>, task: KeyTask) -> Result<(), Error> {
        if task.told {
            return Ok(());
        }
        let (agent, serial) = (task.agent, task.serial);
        let (key, action) = (task.key.clone(), task.task);
        self.decide(tenant, None, move |draft| {
            known(draft, &agent)?;
            Ok(draft.push(agent, serial, Control::KeyTaskDelayed { key, action })?)
        })
        .await?;
        let told = KeyTask { told: true, ..task };
        let change = self.seal_key.tagged(log, set(Kind::Plan, row, &told)?);
        Ok(self.parts.state.put(log, &[change]).await?)
    }
}

impl KeyTask {
    /// A key that may have been made by a call that never returned.
    pub(super) fn sweep(planned: &PlannedKeyId) -> (KeyRef, KeyAction) {
        (KeyRef::new(planned.as_str()), KeyAction::Sweep)
    }
}

// A key that the provider no longer has, or refuses, cannot sign: that is what most tasks are for. One that
// was to be enabled stays without use, and its agent's next certificate has another.
fn cannot_sign(error: SignError) -> Result<(), SignError> {
    match error {
        SignError::NotFound(_) | SignError::Refused { .. } => Ok(()),
        other => Err(other),
    }
}
