//! A record, and how it becomes an entry of a log and is read back.

use super::Control;
use crate::error::StoreError;
use crate::event::{Event, ShortName};
use crate::id::{AgentId, Entropy, EntropyError, Serial};
use crate::log::entry::{Entry, Payload};
use crate::log::leaf::{self, Act, Leaf, LeafError};
use crate::time::UnixTime;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The log's time.
    pub time: UnixTime,
    /// The agent it concerns.
    pub agent: Option<AgentId>,
    /// The certificate it concerns.
    pub serial: Option<Serial>,
    /// Who asked for it, such as `key:<id>`; `None` for what the deployment decided by itself, and for
    /// events, which say how sure it is that they are the agent's own.
    pub by: Option<ShortName>,
    /// What happened.
    pub body: Body,
}

/// What happened. Kinds are only ever added; a reader that meets an unknown critical one stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `agent.event`: what an agent did. The act is in the leaf; the event is the payload, `None`
    /// once it is erased.
    Event(Box<Act>, Option<Box<Event>>),
    /// Everything else: the payload holds it whole.
    Control(Box<Control>),
}

/// The payload of a record that is not an event.
#[derive(serde::Serialize, serde::Deserialize)]
struct Asked<C> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<ShortName>,
    record: C,
}

/// Kind code of events.
pub const EVENT: u16 = 32;
/// And their name.
pub(super) const EVENT_NAME: &str = "agent.event";

/// Why a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No randomness for the salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// It does not fit into a leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The payload does not encode. A fault of this crate.
    #[error("the record's payload does not encode")]
    Payload,
}

impl Record {
    /// Name of this kind of record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.body {
            Body::Event(..) => EVENT_NAME,
            Body::Control(control) => control.name(),
        }
    }

    /// Kind code of the records of this name, if there are such.
    #[must_use]
    pub fn kind_named(name: &str) -> Option<u16> {
        Self::KINDS.iter().find_map(|(known, code)| (*known == name).then_some(*code))
    }

    /// A record that is not an event.
    #[must_use]
    pub fn control(time: UnixTime, agent: Option<AgentId>, serial: Option<Serial>, control: Control) -> Self {
        Self { time, agent, serial, by: None, body: Body::Control(Box::new(control)) }
    }

    /// The same record, asked for by somebody.
    #[must_use]
    pub fn asked_by(self, by: Option<ShortName>) -> Self {
        Self { by, ..self }
    }

    /// Makes the entry that is appended.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn seal(&self, entropy: &dyn Entropy) -> Result<Entry, RecordError> {
        let mut salt = [0; 32];
        entropy.fill(&mut salt)?;
        self.seal_with(salt)
    }

    /// Makes the entries of these records: randomness is drawn once for all of them.
    pub(crate) fn seal_all(records: &[Self], entropy: &dyn Entropy) -> Result<Vec<Entry>, RecordError> {
        let mut salts = vec![[0; 32]; records.len()];
        entropy.fill(salts.as_flattened_mut())?;
        records.iter().zip(salts).map(|(record, salt)| record.seal_with(salt)).collect()
    }

    fn seal_with(&self, salt: [u8; 32]) -> Result<Entry, RecordError> {
        let (kind, act, octets) = match &self.body {
            Body::Event(act, event) => (EVENT, Some(&**act), event.as_ref().map(json).transpose()?),
            Body::Control(control) => {
                (control.kind(), None, Some(json(&Asked { by: self.by.clone(), record: control })?))
            }
        };
        let payload = octets.map(|octets| Payload { salt, octets });
        let commitment = payload.as_ref().map(Payload::commitment);
        let whose = (self.agent.as_ref(), self.serial.as_ref());
        Ok(Entry { leaf: leaf::encode(kind, self.time, whose, act, commitment.as_ref())?, payload })
    }

    /// Reads an entry back, and checks its payload against the leaf's commitment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says what does not fit.
    pub fn open(entry: &Entry) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
        let leaf = Leaf::decode(&entry.leaf).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        match (&entry.payload, leaf.commitment) {
            (Some(payload), Some(commitment)) if payload.commitment() == commitment => {}
            (None, _) => {}
            _ => return Err(corrupt("a payload does not match its leaf")),
        }
        let payload = entry.payload.as_ref().map(|p| p.octets.as_slice());
        let (by, body) = match (leaf.kind, leaf.act, payload) {
            (EVENT, Some(act), payload) => {
                let event = payload.map(serde_json::from_slice).transpose();
                let event = event.map_err(|_| corrupt("an event's payload does not decode"))?;
                (None, Body::Event(Box::new(act), event))
            }
            (kind, None, Some(octets)) => {
                let asked: Asked<Control> = serde_json::from_slice(octets)
                    .map_err(|_| corrupt("a record is of an unknown critical kind"))?;
                if asked.record.kind() != kind {
                    return Err(corrupt("a payload is of another kind than its leaf"));
                }
                (asked.by, Body::Control(Box::new(asked.record)))
            }
            _ => return Err(corrupt("a record lacks its payload")),
        };
        Ok(Self { time: leaf.time, agent: leaf.agent, serial: leaf.serial, by, body })
    }
}

fn json(payload: &impl serde::Serialize) -> Result<Vec<u8>, RecordError> {
    let mut octets = Vec::with_capacity(256);
    serde_json::to_writer(&mut octets, payload).map_err(|_| RecordError::Payload)?;
    Ok(octets)
}
