//! What records of policies, brakes, verdicts and second persons are made of.

use core::fmt;

use super::Evidence;
use crate::agent::Note;
use crate::event::Name;
use crate::id::{AgentId, ApprovalId, Serial};
use crate::policy::{Policy, Verdict};
use crate::revoke::{Cause, Said};
use crate::risk::{Band, Score};
use crate::time::UnixTime;

/// Another policy is in force from this record on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicyChange {
    /// Index of the record that put the one before in force; `None` if the tenant had said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// The one before.
    pub before: Policy,
    /// The one that is in force now.
    pub after: Policy,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// What the agents have in common whose identities are held from here on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InCommon {
    /// Too many lost theirs automatically.
    Revocations {
        /// How many, within the window,
        count: u64,
        /// and how many are let through.
        allowed: u64,
    },
    /// They fail against one target.
    Target {
        /// Its token.
        token: u64,
        /// Its name, where the event that tripped the breaker has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Name>,
        /// How many agents failed there within the window.
        agents: u64,
        /// Index of the last event in which the agent that tripped it failed there.
        event: u64,
    },
}

/// In a sentence.
impl fmt::Display for InCommon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revocations { count, allowed } => {
                write!(f, "{count} agents lost their identities automatically, and {allowed} are let through")
            }
            Self::Target { target: Some(target), agents, .. } => {
                write!(f, "{agents} agents fail at the same target: {}", target.as_str())
            }
            Self::Target { target: None, agents, event, .. } => {
                write!(f, "{agents} agents fail at the same target: that of event {event}")
            }
        }
    }
}

/// Why the breaker tripped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tripped {
    /// What they have in common.
    pub in_common: InCommon,
    /// How far back the breaker looked, in milliseconds.
    pub window: u64,
}

/// The breaker is closed: a person looked at what it holds, or it holds nobody any more.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resolved {
    /// Index of the record in which it tripped.
    pub tripped: u64,
    /// Whether the agents lose their identities for good; else they have them again.
    pub confirmed: bool,
    /// Why.
    pub reason: Note,
}

/// Why a hold is one of the breaker's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Braked {
    /// Index of the record in which it tripped.
    pub tripped: u64,
    /// What would have taken the identity away.
    pub evidence: Evidence,
}

/// What a person says of an agent's score.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VerdictGiven {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Note,
    /// The score that it is about.
    pub score: Score,
    /// The agent's band then.
    pub band: Band,
}

/// What other rules would have done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shadowed {
    /// From which band.
    pub from: Band,
    /// To which band.
    pub to: Band,
    /// Whether they would have taken the identity away.
    pub revokes: bool,
    /// On what evidence.
    pub evidence: Evidence,
}

/// An order that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// Its identifier.
    pub id: ApprovalId,
    /// What is ordered.
    pub order: Requested,
    /// Until when it waits.
    pub expires: UnixTime,
}

/// What may need a second person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Requested {
    /// To put a policy in force.
    Policy {
        /// Which.
        policy: Box<Policy>,
        /// In place of which: the index of its record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<u64>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Note>,
    },
    /// To revoke a certificate.
    Revoke {
        /// Which.
        serial: Serial,
        /// For what.
        cause: Cause,
        /// What whoever ordered it had to say; of the hosted vendor's words the one that was used.
        #[serde(default)]
        said: Said,
    },
    /// To release a certificate that is held.
    Release {
        /// Which.
        serial: Serial,
        /// Index after the record that last took trust away from its agent: a later one voids the order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
    },
    /// To trust a suspended agent again.
    Reinstate {
        /// Whom.
        agent: AgentId,
        /// Why.
        reason: Note,
        /// As of [`Requested::Release`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
    },
    /// To release all that the breaker holds.
    ReleaseHeld {
        /// Why.
        reason: Note,
        /// Index of the record in which it tripped: what it holds after another is not released.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tripped: Option<u64>,
    },
}

/// The word of the second person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Approval {
    /// On which request.
    pub id: ApprovalId,
    /// Whether it is done; what that changes follows in the same append.
    pub approved: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}
