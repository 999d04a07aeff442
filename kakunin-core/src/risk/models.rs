//! The models of a deployment, by their names.

use std::iter;
use std::sync::Arc;

use super::{ModelId, RiskModel, Weighted, Weighted2};

/// The models of a deployment, by their names: those that it was given, and the two that are always there.
#[derive(Debug)]
pub(crate) struct Models {
    first: Named,
    others: Vec<Named>,
}

/// A model, and its name: to make that costs more than to compare it.
#[derive(Debug)]
struct Named(ModelId, Arc<dyn RiskModel>);

impl Named {
    fn new(model: Arc<dyn RiskModel>) -> Self {
        Self(model.id(), model)
    }
}

impl Models {
    /// These, and the ones that are always there; of two with one name the first counts.
    pub(crate) fn of(first: Arc<dyn RiskModel>, others: &[Arc<dyn RiskModel>]) -> Self {
        let own: [Arc<dyn RiskModel>; 2] = [Arc::new(Weighted2::default()), Arc::new(Weighted::default())];
        let others = others.iter().cloned().chain(own).map(Named::new).collect();
        Self { first: Named::new(first), others }
    }

    /// One, whatever the name.
    pub(crate) fn only(model: Arc<dyn RiskModel>) -> Self {
        Self { first: Named::new(model), others: Vec::new() }
    }

    /// The name of the one that judges in tenants that are made now.
    pub(crate) const fn first(&self) -> &ModelId {
        &self.first.0
    }

    /// The model of this name, if there is one.
    pub(crate) fn find(&self, name: &ModelId) -> Option<Arc<dyn RiskModel>> {
        self.all().find(|known| known.0 == *name).map(|known| known.1.clone())
    }

    /// The model of this name; the first if there is none, whose scores are then not those on record, which is told when
    /// the log is read.
    pub(crate) fn named(&self, name: &ModelId) -> &dyn RiskModel {
        &*self.all().find(|known| known.0 == *name).unwrap_or(&self.first).1
    }

    /// Whether one judges everything, whatever the log says.
    pub(crate) const fn is_one(&self) -> bool {
        self.others.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Named> {
        iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::weighted::Weights;

    #[test]
    fn a_model_is_found_by_its_name_and_the_first_stands_in_for_one_that_is_gone() {
        let name = |name: &str| ModelId(name.into());
        let mild = || Arc::new(Weighted::with_weights(name("mild/1"), Weights::V1));
        let models = Models::of(mild(), &[Arc::new(Weighted::with_weights(name("own/3"), Weights::V1))]);
        assert_eq!(models.first().0, "mild/1");
        for known in ["mild/1", "own/3", "weighted/1", "weighted/2"] {
            assert_eq!(models.named(&name(known)).id().0, known);
            assert!(models.find(&name(known)).is_some());
        }
        assert!(models.find(&name("weighted/0")).is_none());
        assert_eq!(models.named(&name("weighted/0")).id().0, "mild/1");
        assert_eq!(Models::only(mild()).named(&name("weighted/1")).id().0, "mild/1");
    }
}
