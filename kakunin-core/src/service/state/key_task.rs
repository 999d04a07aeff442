//! Something a key provider has yet to be told: stored with the decision, removed when done.

use super::rows::set;
use crate::error::StoreError;
use crate::id::{AgentId, HaltId, Serial};
use crate::key::{KeyRef, PlannedKeyId};
use crate::log::record::KeyAction;
use crate::revoke::Halt;
use crate::store::state::{Change, Kind};

/// Something a key provider has yet to be told. Stored with the decision, removed when done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct KeyTask {
    pub(crate) key: KeyRef,
    pub(crate) task: KeyAction,
    pub(crate) agent: AgentId,
    pub(crate) serial: Option<Serial>,
    /// Whether people were told that it takes long.
    pub(crate) told: bool,
    /// The stop whose receipt is to be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) halt: Option<Halt>,
}

impl KeyTask {
    /// A key that may have been made by a call that never returned.
    pub(crate) fn sweep(planned: &PlannedKeyId) -> (KeyRef, KeyAction) {
        (KeyRef::new(planned.as_str()), KeyAction::Sweep)
    }
}

/// The task that follows from the record at `index`.
pub(crate) fn task(
    agent: AgentId,
    index: u64,
    serial: Option<Serial>,
    (key, task): (KeyRef, KeyAction),
) -> Result<Change, StoreError> {
    let task = KeyTask { key, task, agent, serial, told: false, halt: None };
    // By index: a later task of the same key is another row, and tasks are done in order.
    set(Kind::Plan, index.to_be_bytes().to_vec(), &task)
}

/// The task of signing the receipt of a stop.
pub(crate) fn receipt_task(agent: AgentId, halt: Halt) -> Result<Change, StoreError> {
    let (key, task) = (KeyRef::new(format!("halt/{}", halt.id)), KeyAction::Receipt);
    let task = KeyTask { key, task, agent, serial: halt.serial, told: false, halt: Some(halt) };
    set(Kind::Plan, receipt_key(&halt.id), &task)
}

/// By the stop: its receipt takes the task away.
pub(crate) fn receipt_key(halt: &HaltId) -> Vec<u8> {
    halt.as_bytes().to_vec()
}
