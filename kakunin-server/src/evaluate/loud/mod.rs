//! Misuse that nobody can miss, and hard days of honest agents: made of the honest agents of a folder, from a seed.
//!
//! | file | holds |
//! |---|---|
//! | `base.rs` | an honest agent at the moment at which something begins |
//! | `act.rs` | what is put into its life, and what is drawn from its past |
//! | `chance.rs` | draws that are the same for the same seed |
//! | `misuse.rs`, `hard.rs` | the kinds |
//! | `kinds.rs` | their table, with what is to be reached |
//! | `run.rs`, `report.rs` | each kind on each agent, and what came of it |

mod act;
mod base;
mod chance;
mod hard;
mod kinds;
mod misuse;
mod report;
mod run;

pub use kinds::Goal;
pub use report::{KindReport, LoudReport, Reached};
pub(super) use run::run;
