//! What decides over scores from now on.

use super::decide::{Command, Need};
use super::draft::Draft;
use crate::agent::Note;
use crate::log::record::{Control, PolicyChange};
use crate::policy::{Policy, PolicyError};
use crate::service::error::Error;
use crate::service::state::own::InForce;

/// Which policy somebody expects to replace: any, or the one that this record put in force, if any did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Whichever is in force.
    Any,
    /// The one of the record of this index; `None`: the deployment's, because the tenant has said nothing.
    Since(Option<u64>),
}

/// Puts a policy in force.
#[derive(Clone)]
pub(crate) struct SetPolicy {
    pub(crate) policy: Policy,
    pub(crate) replaces: Replaces,
    pub(crate) reason: Option<Note>,
    /// Whether a second person approved it.
    pub(crate) approved: bool,
}

impl Command for SetPolicy {
    const NEED: Need = Need::Ordinary;
    type Answer = InForce;

    fn decide(self, draft: &mut Draft<'_>) -> Result<InForce, Error> {
        let Self { policy, replaces, reason, approved } = self;
        policy.check()?;
        if policy.model.as_ref().is_some_and(|model| draft.rules.models.find(model).is_none()) {
            return Err(PolicyError::Model.into());
        }
        let InForce { since, policy: before, .. } = draft.policy.clone();
        if !matches!(replaces, Replaces::Any) && replaces != Replaces::Since(since) {
            return Err(Error::PolicyChanged);
        }
        if *before == policy {
            return Ok(draft.policy.clone());
        }
        if before.second_approver.policy && !approved {
            return Err(Error::SecondPerson);
        }
        let before = (*before).clone();
        let change = PolicyChange { replaces: since, before, after: policy, reason };
        draft.push_own(Control::PolicyChanged(change))?;
        Ok(draft.policy.clone())
    }
}
