//! Join tokens: made for an agent, and when they open something.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::access::{ApiKeyId, JoinTokenFacts, JoinTokenId, KeyCommitment};
use crate::agent::{AgentError, AgentState};
use crate::id::AgentId;
use crate::issue::Profile;
use crate::log::record::Control;
use crate::service::error::Error;
use crate::time::{MINUTE, UnixTime};

/// The longest life of a join token, in milliseconds.
pub const MAX_JOIN_TOKEN_LIFE: u64 = 10 * MINUTE;

/// Whether a join token opens anything at this time. Nor does one whose end is further away than any life: it was made
/// by a clock that was ahead.
pub(crate) fn redeemable(token: &JoinTokenFacts, now: UnixTime) -> bool {
    now <= token.expires_at && token.expires_at.since(now) <= MAX_JOIN_TOKEN_LIFE
}

/// Makes a join token for an agent, whose hash is in the vault. The answer: the token, and the one it takes the place of.
#[derive(Clone)]
pub(crate) struct CreateJoinToken {
    pub(crate) id: JoinTokenId,
    pub(crate) agent: AgentId,
    pub(crate) profile: Profile,
    /// In milliseconds.
    pub(crate) life: u64,
    pub(crate) commitment: KeyCommitment,
    /// The API key it is made with.
    pub(crate) key: Option<ApiKeyId>,
}

impl Command for CreateJoinToken {
    const NEED: Need = Need::Ordinary;
    type Answer = (JoinTokenFacts, Option<JoinTokenId>);

    fn decide(self, draft: &mut Draft<'_>) -> Result<Self::Answer, Error> {
        let Self { id, agent, profile, life, commitment, key } = self;
        let entry = known(draft, &agent)?;
        match entry.row.agent.state {
            AgentState::Pending | AgentState::Active => draft.may_begin(entry)?,
            AgentState::Suspended => return Err(Error::Suspended(agent)),
            state @ AgentState::Retired => {
                return Err(AgentError::State { state, step: "be given a join token" }.into());
            }
        }
        let void = entry.row.join.map(|old| old.id);
        let expires_at = draft.now.plus(life);
        let facts = JoinTokenFacts { id, profile, expires_at, commitment: Some(commitment), key };
        draft.push(agent, None, Control::JoinTokenCreated(facts))?;
        Ok((facts, void))
    }
}
