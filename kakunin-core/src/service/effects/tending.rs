//! What was decided and the key provider has yet to be told: stored with the decision, tried until done.
//!
//! A decision takes effect without it: whoever asks for a certificate's standing gets the new answer, and
//! the key's own refusal follows when the provider can be reached.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::running::{Kakunin, Running};
use super::tended::Tended;
use crate::error::StoreError;
use crate::key::{PlannedKeyId, SignError};
use crate::log::entry::LogId;
use crate::log::record::KeyAction;
use crate::service::command::alert::DelayKeyTask;
use crate::service::engine::backoff::Attempts;
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::key_task::KeyTask;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// After how many attempts in vain people are told.
const PATIENCE: u32 = 3;

/// What somebody who adds to it works off at most.
const AT_ONCE: usize = 16;

impl Kakunin {
    /// Supersedes renewed certificates whose grace is over, and tells the key provider what it has yet to be told, for every tenant that is loaded and whose turn it
    /// is: after a failure the next attempt waits 1 s, then twice as long, at most a minute. To be called
    /// about once a second; after three attempts in vain an item in the inbox says so. Looks as well whether
    /// somebody else wrote to the store, and at a few records of the logs: see [`Kakunin::damage`]. Stores risk histories once
    /// a minute, if anything happened.
    ///
    /// # Errors
    /// What the store says. A provider that fails is no error: it is counted.
    pub async fn tend(&self) -> Result<Tended, Error> {
        let tenants = self.inner.loaded_tenants().await;
        let (mut tended, mut ended) = (Tended::default(), Ok(()));
        for tenant in tenants {
            // Whatever becomes of it: keys wait for their provider, and not for the log.
            let graces = self.inner.end_due_graces(&tenant).await;
            let mut attempts = tenant.attempts.lock().await;
            let left = self.inner.attempt(&tenant, &mut attempts, usize::MAX).await?;
            tended.left += left;
            tended.failing += usize::from(left > 0 && attempts.backoff.failures() > 0);
            ended = ended.and(graces).and(self.inner.snapshot_if_due(&tenant).await);
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

impl Running {
    /// Tells the key provider at once, unless it is far, somebody is at it, or it failed a moment ago: then
    /// [`Kakunin::tend`] does it. Nobody who takes an identity away waits for a provider that is down, nor for
    /// more than a few keys of others.
    pub(crate) async fn run_key_tasks(&self, tenant: &Tenant) {
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
            usize::MAX => self.scan(&log, Kind::Plan).await?,
            most => {
                let rows = self.parts.state.scan(&log, Kind::Plan, None, most).await?;
                self.opened(&log, Kind::Plan, rows).await?
            }
        };
        let due = attempts.backoff.is_due(self.now());
        if tasks.iter().all(|(row, _)| !due && attempts.stuck.contains(row)) {
            return Ok(tasks.len());
        }
        let more = usize::from(tasks.len() == most);
        let mut stuck: Vec<(Vec<u8>, KeyTask)> = Vec::new();
        for (row, value) in tasks {
            let task: KeyTask = serde_json::from_slice(&value)
                .map_err(|_| StoreError::Corrupt("a key task does not decode".into()))?;
            let rests = !due && attempts.stuck.contains(&row);
            // Nothing is enabled before all that was decided of the key is done. What takes its use away waits for
            // nothing, nor do tasks of other keys.
            let waits =
                task.task == KeyAction::Enable && stuck.iter().any(|(_, other)| other.key == task.key);
            if rests || waits || self.perform(tenant, &task).await.is_err() {
                stuck.push((row, task));
                continue;
            }
            let mut done = vec![row];
            stuck.retain(|(row, before)| {
                let moot = before.key == task.key && ends(task.task, before.task);
                if moot {
                    done.push(row.clone());
                }
                !moot
            });
            attempts.stuck.retain(|row| !done.contains(row));
            let gone = |key| Change { kind: Kind::Plan, key, value: None };
            let gone: Vec<_> = done.into_iter().map(gone).collect();
            self.parts.state.put(&log, &gone).await?;
        }
        let left = stuck.len();
        if left == 0 {
            *attempts = Attempts::default();
            return Ok(more);
        }
        attempts.stuck.extend(stuck.iter().map(|(row, _)| row.clone()));
        if due {
            attempts.backoff.failed(self.now());
            if attempts.backoff.failures() >= PATIENCE {
                for (row, task) in stuck {
                    match self.tell(tenant, &log, row, task).await {
                        // Later, when there is room.
                        Err(Error::Store(StoreError::Full)) => break,
                        told => told?,
                    }
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
                return match self.receipt(tenant, &task.agent, halt).await {
                    // Signed since it was looked for.
                    Ok(_) | Err(Error::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                };
            }
            KeyAction::Enable => keys.enable(&task.key).await.or_else(cannot_sign),
            KeyAction::Retire => {
                // At once, and then for good; for good in any case, if it cannot be disabled.
                if !task.told {
                    keys.disable(&task.key).await.or_else(cannot_sign)?;
                }
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
        let delay = DelayKeyTask { agent, serial, key: task.key.clone(), action: task.task };
        self.decide(tenant, None, delay).await?;
        let told = KeyTask { told: true, ..task };
        let change = self.seal_key.tagged(log, set(Kind::Plan, row, &told)?);
        Ok(self.parts.state.put(log, &[change]).await?)
    }
}

/// Whether a task that is done leaves nothing to do of one of the same key that was decided before: it must not be
/// enabled after it was disabled, and of a key that is gone nothing is left.
const fn ends(done: KeyAction, before: KeyAction) -> bool {
    match done {
        KeyAction::Disable => matches!(before, KeyAction::Enable),
        KeyAction::Retire => true,
        _ => false,
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
