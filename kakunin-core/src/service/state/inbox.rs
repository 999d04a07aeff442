//! Items of the inbox of a tenant: what people should know.

use super::rows::set;
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::log::record::{CaRole, Evidence, Record, Stage};
use crate::revoke::{Cause, Halt};
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// An item of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notification {
    /// What it tells.
    pub kind: NotificationKind,
    /// Which agent; the nil UUID (RFC 9562, 5.9) where it is about an authority.
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

/// What the inbox tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotificationKind {
    /// The score reached the warning threshold; once a day and agent.
    PreRevocationWarning,
    /// The identity was taken away.
    AgentRevoked,
    /// Somebody stopped the agent.
    AgentHalted,
    /// Somebody uses its certificate or serial without its key; once a day and agent.
    ImpersonationSuspected,
    /// The key provider could not be told to disable, enable or delete a key; it is tried further.
    KeyTaskDelayed,
    /// The agent renews itself earlier or more often than it may; once a day and agent.
    SelfRenewalRefused,
    /// An authority that the tenant's agents depend on is about to end, or has ended; once for each stage.
    AuthorityEnding,
}

/// An item in the making.
pub(crate) struct Item(Option<Notification>, u64);

impl Item {
    pub(crate) fn about(record: &Record, index: u64) -> Self {
        let item = record.agent.map(|agent| Notification {
            kind: NotificationKind::AgentRevoked,
            agent,
            serial: record.serial,
            at: record.time,
            cause: None,
            evidence: None,
            ending: None,
        });
        Self(item, index)
    }

    pub(crate) fn revoked(self, cause: Cause, evidence: Option<Evidence>) -> Self {
        self.with(|item| Notification { cause: Some(cause), evidence, ..item })
    }

    pub(crate) fn warned(self, evidence: Evidence) -> Self {
        let kind = NotificationKind::PreRevocationWarning;
        self.with(|item| Notification { kind, evidence: Some(evidence), ..item })
    }

    pub(crate) fn halted(self, halt: &Halt) -> Self {
        let kind = NotificationKind::AgentHalted;
        self.with(|item| Notification { kind, serial: halt.serial, cause: Some(halt.cause), ..item })
    }

    pub(crate) fn impersonated(self) -> Self {
        self.with(|item| Notification { kind: NotificationKind::ImpersonationSuspected, ..item })
    }

    pub(crate) fn key_delayed(self) -> Self {
        self.with(|item| Notification { kind: NotificationKind::KeyTaskDelayed, ..item })
    }

    pub(crate) fn renewal_refused(self) -> Self {
        self.with(|item| Notification { kind: NotificationKind::SelfRenewalRefused, ..item })
    }

    fn with(self, change: impl FnOnce(Notification) -> Notification) -> Self {
        Self(self.0.map(change), self.1)
    }

    pub(crate) fn change(self) -> Result<Change, StoreError> {
        let item = self.0.ok_or_else(|| StoreError::Corrupt("a record lacks its agent".into()))?;
        set(Kind::Inbox, key(self.1).to_vec(), &item)
    }
}

/// The item about an authority that ends.
pub(crate) fn ending(record: &Record, index: u64, ending: EndingNotice) -> Result<Change, StoreError> {
    let item = Notification {
        kind: NotificationKind::AuthorityEnding,
        agent: AgentId::from_bytes([0; 16]),
        serial: None,
        at: record.time,
        cause: None,
        evidence: None,
        ending: Some(ending),
    };
    set(Kind::Inbox, key(index).to_vec(), &item)
}

/// Rows are kept newest first, as they are read.
pub(crate) fn key(index: u64) -> [u8; 8] {
    (u64::MAX - index).to_be_bytes()
}
