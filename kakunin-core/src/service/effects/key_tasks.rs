//! What was decided and the key provider has yet to be told: stored with the decision, tried until done.
//!
//! A decision takes effect without it: whoever asks for a certificate's standing gets the new answer, and
//! the key's own refusal follows when the provider can be reached.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::key::{PlannedKeyId, SignError};
use crate::log::entry::LogId;
use crate::log::record::KeyAction;
use crate::service::command::alert::DelayKeyTask;
use crate::service::engine::backoff::{MAX_WAIT, until};
use crate::service::engine::commits::Urgent;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::key_task::KeyTask;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::SECOND;

/// After how many attempts in vain people are told.
const PATIENCE: u32 = 3;

/// What somebody who adds to it works off at most.
const AT_ONCE: usize = 16;

/// Tells the key provider what was decided of keys.
pub(super) struct KeyTasks;

/// Its name.
pub(super) const KEY_TASKS: &str = "key_tasks";

/// As soon as there is something.
const PACE: Pace = Pace { rest: 0, again: 10 * SECOND, longest: MAX_WAIT };

#[async_trait]
impl Follower for KeyTasks {
    fn name(&self) -> &'static str {
        KEY_TASKS
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        PACE
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.tell_provider(&tenant, turn, usize::MAX).await
    }
}

/// What a caller does of it before it is answered.
#[derive(Debug)]
pub(super) struct AtOnce(pub(super) Weak<Running>);

#[async_trait]
impl Urgent for AtOnce {
    async fn committed(&self, tenant: &TenantLog) {
        if let Some(running) = self.0.upgrade() {
            running.run_key_tasks(tenant).await;
        }
    }
}

impl Running {
    /// Tells the key provider at once, unless it is far, or somebody is at it: then the follower does it. Nobody who takes
    /// an identity away waits for a provider that is down, nor for more than a few keys of others.
    pub(super) async fn run_key_tasks(&self, tenant: &TenantLog) {
        if !self.duty.is_on() || !self.parts.keys.is_near() || !tenant.has_tasks.load(Ordering::Acquire) {
            return;
        }
        let unit = self.units.of(KEY_TASKS, &LogId::Tenant(tenant.id.clone()), &self.commits);
        let Some(mut memory) = unit.turn.try_lock() else { return };
        self.freshen(&mut memory);
        let mut turn = unit.begin(&mut memory, PACE, self.now());
        let done = self.tell_provider(tenant, &mut turn, AT_ONCE).await;
        let owes = turn.others;
        // What fails stays in the store, and shows in the follower's status.
        let _ = turn.end(done, self.now(), &*self.parts.entropy);
        drop(memory);
        if owes {
            self.sign_receipts(tenant, AT_ONCE).await;
        }
    }

    async fn tell_provider(&self, tenant: &TenantLog, turn: &mut Turn<'_>, most: usize) -> Result<(), Error> {
        // Before it is looked for: what is added meanwhile says so again.
        let new = tenant.has_tasks.swap(false, Ordering::AcqRel);
        let retry = turn.due && turn.left > 0;
        if !new && !retry && until(turn.memory.looked.plus(SECOND), turn.now) > 0 {
            (turn.idle, turn.pace.again) = (true, SECOND);
            return Ok(());
        }
        let done = self.work_off(tenant, turn, most, |task| task != KeyAction::Receipt).await;
        if done.is_err() {
            tenant.has_tasks.store(true, Ordering::Release);
        }
        done
    }

    /// Works off the oldest of what is stored and `wanted`, and says how much is left, or 1 more if there may be more.
    pub(super) async fn work_off(
        &self,
        tenant: &TenantLog,
        turn: &mut Turn<'_>,
        most: usize,
        wanted: impl Fn(KeyAction) -> bool + Send + Sync,
    ) -> Result<(), Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let (tasks, more) = self.tasks(&log, most).await?;
        if !more {
            turn.memory.looked = turn.now;
        }
        let mut stuck: Vec<(Vec<u8>, KeyTask)> = Vec::new();
        let own = tasks.iter().filter(|(_, task)| wanted(task.task)).count();
        turn.others = own < tasks.len();
        turn.found(own + usize::from(more));
        for (row, task) in tasks.into_iter().filter(|(_, task)| wanted(task.task)) {
            let rests = !turn.due && turn.memory.resting.contains(&row);
            // Nothing is enabled before all that was decided of the key is done. What takes its use away waits for
            // nothing, nor do tasks of other keys.
            let waits =
                task.task == KeyAction::Enable && stuck.iter().any(|(_, other)| other.key == task.key);
            let done = if rests || waits { None } else { Some(self.perform(tenant, &task).await) };
            match done {
                Some(Ok(())) => self.is_done(&log, turn, (row, &task), &mut stuck).await?,
                tried => {
                    turn.failed = tried.and_then(Result::err).or(turn.failed.take());
                    stuck.push((row, task));
                }
            }
        }
        turn.left = stuck.len() + usize::from(more);
        if more {
            turn.pace.again = 0;
        }
        turn.memory.resting.extend(stuck.iter().map(|(row, _)| row.clone()));
        if turn.due && turn.failures + 1 >= PATIENCE {
            for (row, task) in stuck {
                match self.tell(tenant, &log, row, task).await {
                    // Later, when there is room.
                    Err(Error::Store(StoreError::Full)) => break,
                    told => told?,
                }
            }
        }
        Ok(())
    }

    /// The oldest tasks that are stored, and whether there may be more.
    pub(super) async fn tasks(
        &self,
        log: &LogId,
        most: usize,
    ) -> Result<(Vec<(Vec<u8>, KeyTask)>, bool), Error> {
        let rows = match most {
            usize::MAX => self.scan(log, Kind::Plan).await?,
            most => {
                let rows = self.parts.state.scan(log, Kind::Plan, None, most).await?;
                self.opened(log, Kind::Plan, rows).await?
            }
        };
        let more = rows.len() == most;
        let corrupt = |_| StoreError::Corrupt("a key task does not decode".into());
        let task = |(row, value): (Vec<u8>, Vec<u8>)| {
            Ok::<_, StoreError>((row, serde_json::from_slice(&value).map_err(corrupt)?))
        };
        Ok((rows.into_iter().map(task).collect::<Result<_, _>>()?, more))
    }

    /// Takes away a task that is done, and those before it that it leaves nothing to do of.
    async fn is_done(
        &self,
        log: &LogId,
        turn: &mut Turn<'_>,
        (row, task): (Vec<u8>, &KeyTask),
        stuck: &mut Vec<(Vec<u8>, KeyTask)>,
    ) -> Result<(), Error> {
        let mut done = vec![row];
        stuck.retain(|(row, before)| {
            let moot = before.key == task.key && ends(task.task, before.task);
            if moot {
                done.push(row.clone());
            }
            !moot
        });
        turn.memory.resting.retain(|row| !done.contains(row));
        let gone = |key| Change { kind: Kind::Plan, key, value: None };
        let gone: Vec<_> = done.into_iter().map(gone).collect();
        Ok(self.parts.state.put(log, &gone).await?)
    }

    async fn perform(&self, tenant: &TenantLog, task: &KeyTask) -> Result<(), Error> {
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
    async fn tell(&self, tenant: &TenantLog, log: &LogId, row: Vec<u8>, task: KeyTask) -> Result<(), Error> {
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
