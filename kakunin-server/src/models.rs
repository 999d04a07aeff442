//! The risk models that there are, by name.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use kakunin_core::risk::{RiskModel, Weighted, Weighted2};

/// The model of tenants that are made while the deployment is told of no other.
pub const DEFAULT_MODEL: &str = "weighted/2";

/// Makes a model.
type Make = fn() -> Arc<dyn RiskModel>;

/// Name and maker of each model: another one is one line.
const MODELS: &[(&str, Make)] =
    &[(DEFAULT_MODEL, || Arc::new(Weighted2::default())), ("weighted/1", || Arc::new(Weighted::default()))];

/// A risk model, chosen by its name.
#[derive(Clone, Debug)]
pub struct Model(pub(crate) Arc<dyn RiskModel>);

/// The one of [`DEFAULT_MODEL`].
impl Default for Model {
    fn default() -> Self {
        Self(Arc::new(Weighted2::default()))
    }
}

/// No model has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no risk model `{0:.40}`: take one of {names}", names = names())]
pub struct NoModel(String);

impl FromStr for Model {
    type Err = NoModel;

    fn from_str(name: &str) -> Result<Self, NoModel> {
        let made = MODELS.iter().find(|(known, _)| *known == name).map(|(_, make)| Self(make()));
        made.ok_or_else(|| NoModel(name.to_owned()))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.id().0)
    }
}

fn names() -> String {
    MODELS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_as_it_names_itself() {
        for (name, make) in MODELS {
            assert_eq!(make().id().0, *name);
        }
        assert_eq!(Model::default().to_string(), DEFAULT_MODEL);
        assert!("weighted/0".parse::<Model>().is_err_and(|error| error.to_string().contains(DEFAULT_MODEL)));
    }
}
