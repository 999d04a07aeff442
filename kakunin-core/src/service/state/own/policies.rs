//! What a tenant decided over scores, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StoreError;
use crate::policy::Policy;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// All policies that were in force, by the index of the record that put them there: an event is folded anew under the
/// one that it was decided under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policies(BTreeMap<u64, Arc<Policy>>);

impl Policies {
    /// The last one, and the index of its record.
    pub(super) fn last(&self) -> Option<(&u64, &Arc<Policy>)> {
        self.0.last_key_value()
    }

    /// The last one before the record at `index`.
    pub(super) fn before(&self, index: u64) -> Option<(&u64, &Arc<Policy>)> {
        self.0.range(..index).next_back()
    }

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
