//! Which policy decides.

use std::sync::Arc;

use super::fold::Own;
use crate::policy::Policy;

/// A policy, and since when it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Index of the record that put it in force; `None`: the tenant has said nothing, and it is the deployment's.
    pub since: Option<u64>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl InForce {
    /// What is in force after all that was decided; the deployment's if nothing was.
    pub(crate) fn of(own: &Own, default: &Arc<Policy>) -> Self {
        Self::from(own.policies.last(), default)
    }

    /// What was in force before the record at `index`.
    pub(crate) fn before(own: &Own, index: u64, default: &Arc<Policy>) -> Self {
        Self::from(own.policies.before(index), default)
    }

    fn from(said: Option<(&u64, &Arc<Policy>)>, default: &Arc<Policy>) -> Self {
        match said {
            Some((since, policy)) => Self { since: Some(*since), policy: policy.clone() },
            None => Self { since: None, policy: default.clone() },
        }
    }
}
