//! Which policy decides.

use std::sync::Arc;

use super::fold::Own;
use crate::policy::Policy;
use crate::risk::ModelId;

/// A policy, and since when it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Index of the record that put it in force; `None`: the tenant has said nothing, and it is the deployment's.
    pub since: Option<u64>,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The risk model that judges: the one that it names, or else the one that the tenant was made with.
    pub model: Arc<ModelId>,
}

impl InForce {
    /// What is in force after all that was decided; the deployment's if nothing was.
    pub(crate) fn of(own: &Own, default: &Arc<Policy>) -> Self {
        Self::before(own, u64::MAX, default)
    }

    /// What was in force before the record at `index`.
    pub(crate) fn before(own: &Own, index: u64, default: &Arc<Policy>) -> Self {
        let model = own.policies.model(index).1.clone();
        match own.policies.before(index) {
            Some((since, policy)) => Self { since: Some(*since), policy: policy.clone(), model },
            None => Self { since: None, policy: default.clone(), model },
        }
    }
}
