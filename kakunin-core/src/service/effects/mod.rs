//! What follows the logs: key tasks, CRLs, the feed, receipts, graces, ends, and looking after what is stored.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs`, `unit.rs`, `status.rs` | what a follower is; one at one log, and when it is its turn; how it stands |
//! | `duty.rs`, `on_duty.rs`, `others.rs` | where several processes share a store: which does what one is to do, and what others append |
//! | `run.rs`, `rounds.rs` | drives all of them; turns for whoever drives them otherwise |
//! | `key_tasks.rs`, `crl/`, `feed.rs`, `receipts.rs`, `webhooks/`, `graces.rs`, `erasures.rs`, `ending.rs`, `expiring.rs`, `sweep.rs`, `plans.rs`, `sealing.rs`, `snapshots.rs`, `tiles.rs`, `indexing.rs` | the followers |
//! | `compared.rs` | rows held against what is on record of them |
//! | `running.rs`, `open.rs` | a deployment that runs, and how it is opened |
//! | `recover.rs`, `told.rs` | going on from an older copy; what relying parties were told of revocations |

pub(crate) mod checking;
mod compared;
pub(crate) mod cosigned;
pub(crate) mod crl;
mod duty;
pub(crate) mod ending;
mod erasures;
mod expiring;
pub(crate) mod feed;
mod follower;
pub(crate) mod graces;
mod guarding;
mod guards;
mod indexing;
mod key_tasks;
mod on_duty;
pub(crate) mod open;
mod others;
mod plans;
pub(crate) mod receipts;
pub(crate) mod recover;
pub(crate) mod rounds;
mod run;
pub(crate) mod running;
pub(crate) mod sealing;
mod snapshots;
pub(crate) mod status;
pub(crate) mod sweep;
pub(crate) mod tenant;
mod tiles;
pub(crate) mod told;
mod unit;
pub(crate) mod visibility;
pub(crate) mod webhooks;
