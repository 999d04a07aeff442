//! The sequenced lifecycle: the one place where steps meet store, keys and clock. Each room uses those below it alone.
//!
//! | room | holds |
//! |---|---|
//! | `handle/` | orders: what callers ask a deployment to do |
//! | `query/` | reading what is committed |
//! | `effects/` | what follows the logs: key tasks, CRLs, feed, receipts, graces; [`Kakunin`], and looking after what is stored |
//! | `deployment/` | what a deployment is made as, made from nothing, and read back |
//! | `engine/` | who decides next, the append, its seals, and what is loaded from it |
//! | `command/` | decisions that are not durable yet |
//! | `state/` | what logs amount to: a file for each projection |
//! | `moving/` | a deployment moves from one store into another |
//! | `limits.rs`, `error.rs` | limits that callers meet; why a step was not done |

mod command;
mod deployment;
mod effects;
mod engine;
mod error;
mod handle;
mod limits;
pub mod moving;
mod query;
mod state;

pub use command::enrol::MAX_JOIN_TOKEN_LIFE;
pub use command::observe::{EventStatus, Observed};
pub use command::policy::Replaces;
pub use command::repeat::REPEATABLE;
pub use command::webhook::WebhookChange;
pub use deployment::aside::RebuildProgress;
pub use deployment::config::{Config, OfflineRoot};
pub use deployment::proven::{ProvenLog, prove_logs};
pub use deployment::rebuild::{Rebuild, Rebuilt, RebuiltTable, rebuild};
pub use deployment::rescored::{MAX_NAMED_SCORES, RescoredLog, ScoreDiffers, rescore};
pub use deployment::simulated::{Crossing, Crossings, SimulatedAgent, SimulatedLog, WhatIf, simulate};
pub use effects::crl::{COALESCE_MOST, FULL_CRL_AGE, PublishedCrl, Publishing, RefusedCrl, RootCrlEnding};
pub use effects::ending::Ending;
pub use effects::feed::FeedPage;
pub use effects::recover::{Recovered, RecoveredLog};
pub use effects::rounds::Tended;
pub use effects::running::Kakunin;
pub use effects::status::{FollowerError, FollowerState, FollowerStatus};
pub use effects::tenant::Tenant;
pub use effects::told::{Evidence, RecoveryOptions};
pub use effects::visibility::Reader;
pub use effects::webhooks::{Attempt, Delivery, DeliveryState, Pinged, WebhookFigures};
pub use engine::damage::Damage;
pub use engine::parts::Parts;
pub use engine::payloads::decrypted;
pub use engine::telling::{RecordListener, ScoresDiffer};
pub use error::{Error, Regression};
pub use handle::certify::KeySource;
pub use handle::erasing::Erased;
pub use handle::signing::Signed;
pub use handle::webhooks::{MAX_SECRET_OVERLAP, NewWebhook, SECRET_OVERLAP};
pub use limits::{
    APPROVAL_LIFE, EXPIRY_NOTICE, MAX_EVENTS, MAX_LATENESS, MAX_READ_MARKS, MAX_WAITING, SELF_RENEWALS,
};
pub use query::agents::Risk;
pub use query::authorities::Authority;
pub use query::certificates::{CertificateStatus, MAX_CERTIFICATES_LISTED};
pub use query::explained::{Explanation, Grounds, MAX_EXPLAINED};
pub use query::filter::RecordFilter;
pub use query::inbox::{InboxFilter, InboxItem, InboxPage};
pub use query::log_check::{BadRecords, CheckedLog, LogCheck, OnProgress, Progress};
pub use query::page::{Page, ReadFrom, Recorded};
pub use query::policy::BreakerStatus;
pub use query::proofs::{Grown, MAX_PROVEN, ProvenLeaf, ProvenRange};
pub use state::certificates::CertificateEntry;
pub use state::inbox::{EndingNotice, Notification, NotificationKind, Severity};
pub use state::own::InForce;
pub use state::own::approvals::Waiting;
pub use state::tally::{Adverse, DayTally, KindTally};
pub use state::usage::{Refusal, Refusals};
