//! `kakunin risk evaluate`: a risk model over recorded traces, without a deployment around it.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs`, `run.rs` | one evaluation, from a folder to a report |
//! | `folder.rs`, `agents.rs`, `call.rs` | the recorded agents, sessions and calls, each line checked |
//! | `engine.rs` | the model over one agent's calls, as a server would feed it |
//! | `figures.rs`, `share.rs` | what is caught and what is flagged in vain, with intervals |
//! | `budgets.rs`, `folds.rs` | the same at fixed false-alarm budgets, and on what was left out |
//! | `report.rs` | the figures as a table and as JSON |
//! | `loud/` | misuse that nobody can miss, and hard days of honest agents |

mod agents;
mod budgets;
mod call;
mod engine;
mod error;
mod figures;
mod folder;
mod folds;
mod loud;
mod options;
mod report;
mod run;
mod share;

pub use budgets::{Budget, Per};
pub use call::Scope;
pub use error::EvaluateError;
pub use figures::Figures;
pub use folds::{Fold, FoldedBudget, Folds};
pub use loud::{Goal, KindReport, LoudReport, Reached};
pub use options::Options;
pub use report::{At, Group, Report};
pub use run::{loud, run};
pub use share::Share;
