//! What a tenant decided over scores, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StoreError;
use crate::policy::Policy;
use crate::risk::{ModelId, RiskModel as _, Weighted};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// All policies that were in force, by the index of the record that put them there: an event is folded anew under the
/// one that it was decided under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policies {
    all: BTreeMap<u64, Arc<Policy>>,
    /// The model that judges until one of them names another,
    first: Arc<ModelId>,
    /// and those that came after it, by the index of the record that put them there.
    models: BTreeMap<u64, Arc<ModelId>>,
}

/// Of a tenant whose record does not say by which model it is judged.
impl Default for Policies {
    fn default() -> Self {
        Self { all: BTreeMap::new(), first: Arc::new(Weighted::default().id()), models: BTreeMap::new() }
    }
}

impl Policies {
    /// The last one before the record at `index`.
    pub(super) fn before(&self, index: u64) -> Option<(&u64, &Arc<Policy>)> {
        self.all.range(..index).next_back()
    }

    /// The model that judges what is recorded at `index`, and the index of the record that put it there: `None` for the one
    /// that the tenant was made with.
    pub(crate) fn model(&self, index: u64) -> (Option<u64>, &Arc<ModelId>) {
        let changed = self.models.range(..index).next_back();
        changed.map_or((None, &self.first), |(since, model)| (Some(*since), model))
    }

    /// The tenant was made with this model.
    pub(crate) fn begin_with(&mut self, model: ModelId) {
        self.first = Arc::new(model);
        self.follow_models();
    }

    pub(super) fn changed(&mut self, index: u64, policy: &Policy) -> Result<Change, StoreError> {
        self.insert(index, policy.clone());
        row_of(index, policy)
    }

    fn insert(&mut self, index: u64, policy: Policy) {
        self.all.insert(index, Arc::new(policy));
        self.follow_models();
    }

    /// Policies are few, and rarely change.
    fn follow_models(&mut self) {
        self.models.clear();
        let mut last = &*self.first;
        for (index, policy) in &self.all {
            let model = policy.model.as_ref().unwrap_or(&self.first);
            if model != last {
                self.models.insert(*index, Arc::new(model.clone()));
                last = model;
            }
        }
    }

    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.insert(index_of(key)?, serde_json::from_slice(value).ok()?);
        Some(())
    }

    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Change>, StoreError> {
        let policy = index_of(key).and_then(|index| Some((index, self.all.get(&index)?)));
        policy.map(|(index, policy)| row_of(index, policy)).transpose()
    }
}

fn index_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn row_of(index: u64, policy: &Policy) -> Result<Change, StoreError> {
    set(Kind::Policy, index.to_be_bytes().to_vec(), policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_judges_from_the_record_after_the_one_that_names_it_until_another_is_named() {
        let name = |name: &str| ModelId(name.to_owned());
        let names = |model: Option<&str>| Policy { model: model.map(name), ..Policy::default() };
        let (mut policies, mut backwards) = (Policies::default(), Policies::default());
        let said = [(3, None), (5, Some("own/1")), (7, Some("own/1")), (9, None), (11, Some("weighted/1"))];
        for (index, model) in said {
            policies.changed(index, &names(model)).unwrap();
        }
        // Rows come in any order.
        for (index, model) in said.into_iter().rev() {
            let value = serde_json::to_vec(&names(model)).unwrap();
            backwards.load(&u64::to_be_bytes(index), &value).unwrap();
        }
        assert_eq!(policies, backwards);
        let (first, own) = (Arc::new(name("weighted/1")), Arc::new(name("own/1")));
        for (index, judges) in [
            (0, (None, &first)),
            (5, (None, &first)),
            (6, (Some(5), &own)),
            (9, (Some(5), &own)),
            (10, (Some(9), &first)),
            (u64::MAX, (Some(9), &first)),
        ] {
            assert_eq!(policies.model(index), judges, "{index}");
        }
        policies.begin_with(name("own/1"));
        assert_eq!((policies.model(9), policies.model(u64::MAX)), ((None, &own), (Some(11), &first)));
    }
}
