//! What a tenant decided over scores, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Own;
use crate::error::StoreError;
use crate::policy::Policy;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

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
        Self::from(own.policies.0.last_key_value(), default)
    }

    /// What was in force before the record at `index`.
    pub(crate) fn before(own: &Own, index: u64, default: &Arc<Policy>) -> Self {
        Self::from(own.policies.0.range(..index).next_back(), default)
    }

    fn from(said: Option<(&u64, &Arc<Policy>)>, default: &Arc<Policy>) -> Self {
        match said {
            Some((since, policy)) => Self { since: Some(*since), policy: policy.clone() },
            None => Self { since: None, policy: default.clone() },
        }
    }
}

/// All policies that were in force, by the index of the record that put them there: an event is folded anew under the
/// one that it was decided under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policies(BTreeMap<u64, Arc<Policy>>);

impl Policies {
    pub(super) fn changed(&mut self, index: u64, policy: &Policy) -> Result<Change, StoreError> {
        self.0.insert(index, Arc::new(policy.clone()));
        row_of(index, policy)
    }

    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.0.insert(index_of(key)?, Arc::new(serde_json::from_slice(value).ok()?));
        Some(())
    }

    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Change>, StoreError> {
        let policy = index_of(key).and_then(|index| Some((index, self.0.get(&index)?)));
        policy.map(|(index, policy)| row_of(index, policy)).transpose()
    }
}

fn index_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn row_of(index: u64, policy: &Policy) -> Result<Change, StoreError> {
    set(Kind::Policy, index.to_be_bytes().to_vec(), policy)
}
