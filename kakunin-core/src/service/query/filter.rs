//! Which records of a log somebody looks for.

use crate::event::{EventKind, Outcome};
use crate::id::{AgentId, Serial};
use crate::log::leaf::Leaf;
use crate::log::record::EVENT;
use crate::risk::Score;
use crate::service::state::index::mark::Meaning;
use crate::service::state::index::rows::Subject;
use crate::time::UnixTime;

/// Which records of a log are wanted: those that all of this is true of. What is `None` is true of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// They concern this agent.
    pub agent: Option<AgentId>,
    /// They concern this certificate.
    pub serial: Option<Serial>,
    /// They are of this kind: see [`Record::kind_named`](crate::log::record::Record::kind_named).
    pub kind: Option<u16>,
    /// They are events of this kind.
    pub act: Option<EventKind>,
    /// They are events that ended so.
    pub outcome: Option<Outcome>,
    /// They are events after which the score was at least the first and at most the second.
    pub scores: Option<(Score, Score)>,
    /// They were recorded then or later.
    pub since: Option<UnixTime>,
    /// They were recorded before that.
    pub until: Option<UnixTime>,
}

impl RecordFilter {
    /// Whether it takes every record of the time that it says.
    pub(super) fn takes_all(&self) -> bool {
        let Self { agent, serial, kind, act, outcome, scores, since: _, until: _ } = self;
        (agent.is_none() && serial.is_none() && kind.is_none())
            && (act.is_none() && outcome.is_none() && scores.is_none())
    }

    /// Whether it takes this one, if that is of the time that it says.
    pub(super) fn takes(&self, leaf: &Leaf) -> bool {
        let (act, facts) = (leaf.act.as_ref(), leaf.act.as_ref().map(|act| &act.facts));
        let score = act.and_then(|act| act.score);
        self.agent.is_none_or(|agent| leaf.agent == Some(agent))
            && self.serial.is_none_or(|serial| leaf.serial == Some(serial))
            && self.kind.is_none_or(|kind| leaf.kind == kind)
            && self.act.is_none_or(|kind| leaf.kind == EVENT && facts.is_some_and(|f| f.kind == kind))
            && self.outcome.is_none_or(|outcome| facts.is_some_and(|f| f.outcome == outcome))
            && self.scores.is_none_or(|(least, most)| score.is_some_and(|s| least <= s && s <= most))
    }

    /// Whether it may take one that the index finds so.
    pub(super) fn may_take(&self, found: Meaning) -> bool {
        self.kind.is_none_or(|kind| found.may_be(kind))
            && self.act.is_none_or(|kind| found.is_act(kind))
            && self.outcome.is_none_or(|outcome| found.ended(outcome))
            && self.scores.is_none_or(|(least, most)| {
                found.scores.is_some_and(|(low, high)| least.millionths() <= high && low <= most.millionths())
            })
    }

    /// The subject with the fewest records.
    pub(super) fn subject(&self) -> Subject {
        match (&self.serial, &self.agent) {
            (Some(serial), _) => Subject::serial(serial),
            (None, Some(agent)) => Subject::agent(agent),
            (None, None) => Subject::All,
        }
    }
}
