//! Items of the inbox of a tenant: what people should know.

use super::rows::set;
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::log::record::{CaRole, Evidence, Record, Stage};
use crate::revoke::{Cause, Halt};
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;
use crate::words::words;

/// An item of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notification {
    /// Which item of its tenant it is: the first is 1.
    #[serde(default)]
    pub number: u64,
    /// What it tells.
    pub kind: NotificationKind,
    /// Which agent; the nil UUID (RFC 9562, 5.9) where it is about none.
    pub agent: AgentId,
    /// With which certificate.
    pub serial: Option<Serial>,
    /// When.
    pub at: UnixTime,
    /// Why, when an identity was taken away.
    pub cause: Option<Cause>,
    /// On what evidence, when behaviour was the cause.
    pub evidence: Option<Evidence>,
    /// Which authority ends, where it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingNotice>,
    /// The last moment of the certificate, where it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UnixTime>,
    /// What more there is to say, in sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// An authority that is about to end, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndingNotice {
    /// Which.
    pub issuer: IssuerId,
    /// The root, or the one that issues.
    pub role: CaRole,
    /// Its last moment.
    pub not_after: UnixTime,
    /// How near that was when it was told.
    pub stage: Stage,
}

words! {
    /// What the inbox tells.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum NotificationKind {
        /// The score rose to the warning threshold; once for each time that it does.
        PreRevocationWarning = "pre_revocation_warning",
        /// The identity was taken away.
        AgentRevoked = "agent_revoked",
        /// Somebody stopped the agent.
        AgentHalted = "agent_halted",
        /// The agent's newest certificate is suspended, until somebody releases it.
        AgentHeld = "agent_held",
        /// So many agents would have been revoked that further ones are held; about no agent.
        BreakerTripped = "breaker_tripped",
        /// Somebody uses its certificate or serial without its key; once a day and agent.
        ImpersonationSuspected = "impersonation_suspected",
        /// The key provider could not be told to disable, enable or delete a key; it is tried further.
        KeyTaskDelayed = "key_task_delayed",
        /// The agent renews itself earlier or more often than it may; once a day and agent.
        SelfRenewalRefused = "self_renewal_refused",
        /// The agent's newest certificate is about to end; once for each certificate.
        CertificateExpiring = "certificate_expiring",
        /// An authority that the tenant's agents depend on is about to end, or has ended; once for each stage.
        AuthorityEnding = "authority_ending",
        /// A webhook is told nothing more, because of what came of deliveries; about no agent.
        WebhookDisabled = "webhook_disabled",
    }
}

words! {
    /// How much an item asks of whoever reads it.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
    )]
    pub enum Severity {
        /// To be known.
        Info = "info",
        /// To be looked at: something will be taken away, or is late.
        Warning = "warning",
        /// To be acted upon: something was taken away, or somebody attacks.
        Critical = "critical",
    }
}

impl Notification {
    /// How much it asks of whoever reads it: by its kind, and for an authority by how near its end is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.kind {
            NotificationKind::AgentRevoked
            | NotificationKind::AgentHalted
            | NotificationKind::BreakerTripped
            | NotificationKind::ImpersonationSuspected => Severity::Critical,
            NotificationKind::PreRevocationWarning
            | NotificationKind::AgentHeld
            | NotificationKind::KeyTaskDelayed
            | NotificationKind::SelfRenewalRefused
            | NotificationKind::CertificateExpiring
            | NotificationKind::WebhookDisabled => Severity::Warning,
            NotificationKind::AuthorityEnding => match self.ending {
                Some(EndingNotice { stage: Stage::Urgent | Stage::Ended, .. }) => Severity::Critical,
                _ => Severity::Warning,
            },
        }
    }

    /// Which agent it is about, if it is about one.
    #[must_use]
    pub fn of_agent(&self) -> Option<AgentId> {
        (self.agent != NOBODY).then_some(self.agent)
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(octets)
            .map_err(|_| StoreError::Corrupt("an item of the inbox does not decode".into()))
    }
}

const NOBODY: AgentId = AgentId::from_bytes([0; 16]);

/// An item in the making.
pub(crate) struct Item(Notification, u64);

impl Item {
    /// About the agent of a record, if that has one: its identity was taken away, until something else is said.
    pub(crate) fn about(record: &Record, index: u64) -> Self {
        let item = Notification {
            number: 0,
            kind: NotificationKind::AgentRevoked,
            agent: record.agent.unwrap_or(NOBODY),
            serial: record.serial,
            at: record.time,
            cause: None,
            evidence: None,
            ending: None,
            not_after: None,
            said: None,
        };
        Self(item, index)
    }

    pub(crate) fn revoked(self, cause: Cause, evidence: Option<Evidence>) -> Self {
        self.with(|item| Notification { cause: Some(cause), evidence, ..item })
    }

    pub(crate) fn warned(self, evidence: Evidence) -> Self {
        self.of(NotificationKind::PreRevocationWarning)
            .with(|item| Notification { evidence: Some(evidence), ..item })
    }

    pub(crate) fn halted(self, halt: &Halt) -> Self {
        let (serial, cause) = (halt.serial, Some(halt.cause));
        self.of(NotificationKind::AgentHalted).with(|item| Notification { serial, cause, ..item })
    }

    pub(crate) fn held(self) -> Self {
        self.of(NotificationKind::AgentHeld)
    }

    /// `what` the agents have in common, in a sentence; its record is about no agent.
    pub(crate) fn breaker_tripped(self, what: String) -> Self {
        self.of(NotificationKind::BreakerTripped).with(|item| Notification { said: Some(what), ..item })
    }

    /// `what` became of which webhook, in a sentence; its record is about no agent.
    pub(crate) fn webhook_disabled(self, what: String) -> Self {
        self.of(NotificationKind::WebhookDisabled).with(|item| Notification { said: Some(what), ..item })
    }

    pub(crate) fn impersonated(self) -> Self {
        self.of(NotificationKind::ImpersonationSuspected)
    }

    pub(crate) fn key_delayed(self) -> Self {
        self.of(NotificationKind::KeyTaskDelayed)
    }

    pub(crate) fn renewal_refused(self) -> Self {
        self.of(NotificationKind::SelfRenewalRefused)
    }

    pub(crate) fn expiring(self, not_after: UnixTime) -> Self {
        self.of(NotificationKind::CertificateExpiring)
            .with(|item| Notification { not_after: Some(not_after), ..item })
    }

    pub(crate) fn ending(self, ending: EndingNotice) -> Self {
        self.of(NotificationKind::AuthorityEnding).with(|item| Notification { ending: Some(ending), ..item })
    }

    fn of(self, kind: NotificationKind) -> Self {
        self.with(|item| Notification { kind, ..item })
    }

    fn with(self, change: impl FnOnce(Notification) -> Notification) -> Self {
        Self(change(self.0), self.1)
    }

    /// Its row, which has no number yet: see [`number`].
    pub(crate) fn change(self) -> Result<Change, StoreError> {
        set(Kind::Inbox, key(self.1).to_vec(), &self.0)
    }
}

/// How many items there are, and the index after the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) count: u64,
    pub(crate) end: u64,
}

/// Numbers the items among these changes, which are in the order of their records, and says how many there are with them.
/// So the newest item says how many there are, and any other how many are older, and nobody has to count.
pub(crate) fn number(changes: &mut [Change], before: Reached) -> Result<Reached, StoreError> {
    let mut reached = before;
    for change in changes.iter_mut().filter(|change| change.kind == Kind::Inbox) {
        let Some(value) = &change.value else { continue };
        reached = Reached { count: reached.count + 1, end: index(&change.key)? + 1 };
        let item = Notification { number: reached.count, ..Notification::decode(value)? };
        change.value = Some(super::rows::octets(&item)?);
    }
    Ok(reached)
}

/// Rows are kept newest first, as they are read.
pub(crate) fn key(index: u64) -> [u8; 8] {
    (u64::MAX - index).to_be_bytes()
}

/// Index of the record that a row follows from.
pub(crate) fn index(key: &[u8]) -> Result<u64, StoreError> {
    let key = key.try_into().map_err(|_| StoreError::Corrupt("no key of an item of the inbox".into()))?;
    Ok(u64::MAX - u64::from_be_bytes(key))
}
