//! An agent: its row, and what decisions about it need beside that.

use std::sync::Arc;

use super::dedup::Seen;
use super::erasures::Erasures;
use super::rows::set;
use super::second::Second;
use super::tally::Tally;
use super::usage::Usage;
use crate::access::JoinTokenFacts;
use crate::agent::Agent;
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::{AgentId, IssuerId, Serial};
use crate::issue::{Issued, Profile};
use crate::key::{KeyRef, PlannedKeyId};
use crate::log::record::Braked;
use crate::policy::RiskState;
use crate::revoke::{Halt, Receipt};
use crate::risk::{Band, History, Score};
use crate::store::state::{Change, Kind};
use crate::time::{DAY, UnixTime};

/// An agent with all that decisions about it need.
#[derive(Clone, Debug)]
pub(crate) struct AgentEntry {
    /// Shared with the copies that drafts make.
    pub(crate) row: Arc<AgentRow>,
    pub(crate) history: Arc<History>,
    pub(crate) score: Score,
    /// What each family contributed to the score.
    pub(crate) evidence: [u32; 4],
    /// What its certificate was used for; in memory and snapshots, as the history.
    pub(crate) usage: Arc<Usage>,
    /// What its events amount to; in memory and snapshots, as the history.
    pub(crate) tally: Arc<Tally>,
    /// What a second model makes of it, if one runs; in memory and snapshots, as the history.
    pub(crate) second: Option<Arc<Second>>,
    pub(crate) seen: Seen,
    /// Index after its last record.
    pub(crate) reach: u64,
}

/// The part of an agent's entry that control records change, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct AgentRow {
    pub(crate) agent: Agent,
    pub(crate) plan: Option<Plan>,
    pub(crate) band: Band,
    pub(crate) halt: Option<Halt>,
    /// The receipt of the halt, once it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<Receipt>,
    /// What was begun before this index of the log is void: trust was taken away there.
    #[serde(default)]
    pub(crate) void_before: u64,
    /// When it began to renew itself, since somebody else renewed it: as many as are allowed in an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) self_renewals: Vec<UnixTime>,
    /// The day on which its owner was told that it renews itself too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused_on: Option<u64>,
    /// The join token that may be redeemed.
    #[serde(default)]
    pub(crate) join: Option<JoinTokenFacts>,
    /// The one that was, and for which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redeemed: Option<Redeemed>,
    /// The certificate before the newest, while it stands beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<Former>,
    /// Index of the record in which somebody last decided to trust it again: what is done with a certificate from
    /// before does not count any more.
    #[serde(default)]
    pub(crate) reinstated: u64,
    pub(crate) alerted_on: Option<u64>,
    /// Where it stands between its score and people.
    #[serde(default)]
    pub(crate) risk_state: RiskState,
    /// Why the breaker holds it, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) braked: Option<Braked>,
    /// Its band by the rules that only report.
    #[serde(default)]
    pub(crate) shadow: Band,
    /// Whether these would have taken its identity away.
    #[serde(default)]
    pub(crate) shadow_revokes: bool,
    /// What was erased of its events.
    #[serde(default, skip_serializing_if = "Erasures::is_empty")]
    pub(crate) erased: Erasures,
}

/// A join token that was redeemed: whoever never got the answer may send the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Redeemed {
    pub(crate) facts: JoinTokenFacts,
    pub(crate) key_id: Option<IssuerId>,
}

/// A certificate that was renewed and still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Former {
    pub(crate) serial: Serial,
    /// When it is superseded, if the newest is not used before.
    pub(crate) until: UnixTime,
}

/// An issuance that is under way, or was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Plan {
    pub(crate) planned: Option<PlannedKeyId>,
    pub(crate) key: Option<KeyRef>,
    #[serde(default)]
    pub(crate) key_id: Option<IssuerId>,
    pub(crate) facts: Option<(Issued, Profile)>,
}

impl AgentRow {
    /// Its newest certificate, and the one that may stand beside it after a renewal.
    pub(crate) fn two(&self) -> [Option<Serial>; 2] {
        [self.agent.certificate, self.former.map(|former| former.serial)]
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(octets)
            .map_err(|_| StoreError::Corrupt("an agent's row does not decode".into()))
    }

    /// Whether the owner was told today that it renews itself too often.
    pub(crate) fn refused_today(&self, now: UnixTime) -> bool {
        self.refused_on == Some(now.millis() / DAY)
    }

    /// Whether an alert about this agent went out on the day of `now`.
    pub(crate) fn alerted_today(&self, now: UnixTime) -> bool {
        self.alerted_on == Some(now.millis() / DAY)
    }
}

impl AgentEntry {
    pub(crate) fn new(agent: Agent) -> Self {
        Self::of(AgentRow {
            agent,
            plan: None,
            band: Band::Low,
            halt: None,
            receipt: None,
            void_before: 0,
            self_renewals: Vec::new(),
            refused_on: None,
            join: None,
            reinstated: 0,
            redeemed: None,
            former: None,
            alerted_on: None,
            risk_state: RiskState::None,
            braked: None,
            shadow: Band::Low,
            shadow_revokes: false,
            erased: Erasures::default(),
        })
    }

    fn of(row: AgentRow) -> Self {
        Self {
            row: Arc::new(row),
            history: Arc::default(),
            score: Score::default(),
            evidence: [0; 4],
            usage: Arc::default(),
            tally: Arc::default(),
            second: None,
            seen: Seen::default(),
            reach: 0,
        }
    }

    pub(crate) fn from_row(octets: &[u8]) -> Result<Self, StoreError> {
        AgentRow::decode(octets).map(Self::of)
    }
}

impl AgentEntry {
    /// Forgets what is folded from its log, which is read anew.
    pub(crate) fn begin_history(&mut self) {
        (self.history, self.usage, self.tally) = (Arc::default(), Arc::default(), Arc::default());
        self.second = None;
        (self.score, self.evidence, self.reach) = (Score::default(), [0; 4], 0);
    }

    /// The agent's row, as it has to be stored.
    pub(crate) fn change(&self) -> Result<Change, StoreError> {
        set(Kind::Agent, self.row.agent.id.as_bytes().to_vec(), &*self.row)
    }
}

/// Who asks, when an agent renews its own certificate.
pub(crate) fn itself(agent: &AgentId) -> Option<ShortName> {
    ShortName::try_from(format!("agent:{agent}")).ok()
}
