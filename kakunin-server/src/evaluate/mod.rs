//! `kakunin risk evaluate`: a risk model over recorded traces, without a deployment around it.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | one evaluation, from a folder to a report |
//! | `folder.rs`, `agents.rs` | the recorded agents, sessions and calls, each line checked |
//! | `engine.rs` | the model over one agent's calls, as a server would feed it |
//! | `figures.rs`, `share.rs` | what is caught and what is flagged in vain, with intervals |
//! | `budgets.rs`, `folds.rs` | the same at fixed false-alarm budgets, and on what was left out |
//! | `report.rs` | the figures as a table and as JSON |
//! | `loud/` | misuse that nobody can miss, and hard days of honest agents |

mod agents;
mod budgets;
mod engine;
mod error;
mod figures;
mod folder;
mod folds;
mod loud;
mod report;
mod run;
mod share;

pub use budgets::{Budget, Per};
pub use error::EvaluateError;
pub use figures::Figures;
pub use folder::Scope;
pub use folds::{Fold, FoldedBudget, Folds};
pub use loud::{Goal, KindReport, LoudReport, Reached};

pub use report::{At, Group, Report};
pub use run::{Options, loud, run};
pub use share::Share;
