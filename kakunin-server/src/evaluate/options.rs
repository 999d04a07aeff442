//! What to evaluate, and how.

use std::path::PathBuf;

use super::call::Scope;
use crate::models::Model;

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model.
    pub model: Model,
    /// What the agents may do.
    pub scope: Scope,
    /// Write the score after each event to this file.
    pub scores: Option<PathBuf>,
    /// Give the figures of folds by model and suite.
    pub folds: bool,
}
