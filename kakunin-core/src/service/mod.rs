//! The sequenced lifecycle: the one place where steps meet store, keys and clock.
//!
//! | file | does |
//! |---|---|
//! | `deployment.rs`, `genesis.rs`, `system.rs` | opens a deployment, or makes it: log key, root, issuing CA, tenants |
//! | `authority.rs`, `cas.rs` | which CA issues for whom; rotation, offline roots |
//! | `names.rs`, `lifecycle.rs`, `signing.rs` | register, find again; change, reinstate, retire; sign |
//! | `certify.rs`, `renewal.rs`, `repeat.rs`, `turns.rs`, `grace.rs`, `certificates.rs`, `bound.rs`, `usage.rs` | certify, renew, also once more; what stands beside its successor; how each certificate stands; whose key is whose; what one was used for |
//! | `tally.rs` | what an agent's events amount to, for people who ask |
//! | `enrol.rs` | agents that get and renew their certificates themselves |
//! | `granting.rs` | lets a workload use its key at the provider |
//! | `observe.rs` | takes events in, scores them |
//! | `revoking.rs`, `receipt.rs`, `tending.rs`, `inbox.rs`, `backoff.rs` | revokes, halts, holds, releases; receipts; tells key provider and people |
//! | `crl/`, `feed.rs` | CRLs, as a follower of the revocation log; the revocation feed |
//! | `status.rs`, `view.rs` | a certificate by its serial; what verifiers of this process see |
//! | `visibility.rs` | who may read what was revoked |
//! | `reading.rs`, `roster.rs` | the log as its owner reads it; which agents there are |
//! | `keys.rs` | who may call the API |
//! | `draft.rs`, `projection.rs`, `folding.rs`, `dedup/` | decisions before they are durable, and the state after |
//! | `sequence.rs` | one caller decides for all that wait, in one append |
//! | `commit.rs`, `ledger.rs` | the append, and everything else brought level with it |
//! | `seal.rs`, `sealing.rs`, `damage.rs` | who writes the store by other means is noticed: seals, looking again while running, what was found |
//! | `tenant.rs` | the sequencer of a tenant: snapshot, replay |

mod authority;
mod backoff;
mod bound;
mod cas;
mod certificates;
mod certify;
mod commit;
mod crl;
mod damage;
mod dedup;
mod deployment;
mod draft;
mod ending;
mod enrol;
mod error;
mod feed;
mod folding;
mod genesis;
mod grace;
mod granting;
mod inbox;
mod keys;
mod lead;
mod ledger;
mod lifecycle;
mod names;
mod observe;
mod projection;
mod reading;
mod receipt;
mod renewal;
mod repeat;
mod revoking;
mod roster;
mod seal;
mod sealing;
mod sequence;
mod signing;
mod status;
mod system;
mod tally;
mod tenant;
mod tending;
mod turns;
mod usage;
mod view;
mod visibility;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use authority::Authority;
pub use certificates::MAX_CERTIFICATES_LISTED;
pub use certify::KeySource;
pub use crl::{FULL_CRL_AGE, PublishedCrl, Publishing, RefusedCrl, Regression};
pub use damage::Damage;
pub use deployment::{Config, OfflineRoot, Parts};
pub use draft::{EventStatus, Observed};
pub use ending::Ending;
pub use enrol::MAX_JOIN_TOKEN_LIFE;
pub use error::Error;
pub use feed::FeedPage;
pub use inbox::{EndingNotice, Notification, NotificationKind};
pub use lifecycle::{CertificateEntry, Risk};
pub use reading::{Page, Recorded};
pub use renewal::SELF_RENEWALS;
pub use repeat::REPEATABLE;
pub use signing::Signed;
pub use status::CertificateStatus;
pub use tally::{Adverse, DayTally, KindTally};
pub use tending::Tended;
pub use usage::{Refusal, Refusals};
pub use visibility::Reader;

use crate::event::ShortName;
use crate::id::TenantId;
use crate::issue::Place;
use crate::key::Signer;
use crate::revoke::{LiveRevocations, Said};
use crate::risk::{Prior, Thresholds};
use crate::time::DAY;
use ledger::Ledger;
use tenant::Tenant;

/// Most events in one call of [`Kakunin::observe_all`].
pub const MAX_EVENTS: usize = 1_000;

/// How long after a certificate was replaced or ran out an act under it still counts against its agent, by the
/// log's time, in milliseconds.
pub const MAX_LATENESS: u64 = DAY;

/// A deployment: agents, their certificates, what they do, and the log of it all.
///
/// Cheap to clone; every clone is the same deployment. Futures may be run on any executor.
#[derive(Clone, Debug)]
pub struct Kakunin {
    inner: Arc<Inner>,
    by: Option<ShortName>,
    said: Said,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    policy: Policy,
    place: Place,
    host: String,
    feed_verifier: String,
    feed_key: feed::FeedKey,
    cas: cas::Cas,
    log_signer: Arc<dyn Signer>,
    seal_key: seal::SealKey,
    /// Whether it is on record that stored state is believed only under a seal.
    sealed: AtomicBool,
    damages: damage::Damages,
    checking: async_lock::Mutex<sealing::Checking>,
    token_secret: genesis::TokenSecret,
    system: async_lock::Mutex<Ledger>,
    tenants: async_lock::RwLock<HashMap<TenantId, Option<Arc<Tenant>>>>,
    live: Arc<LiveRevocations>,
    serials: status::Serials,
    bound: bound::BoundKeys,
    turns: turns::Turns,
    api_keys: keys::ApiKeys,
    root_crls: crl::RootCrls,
    unwritten: crl::Unwritten,
    lead: lead::Lead,
    publishing: std::sync::Mutex<Publishing>,
    tended: std::sync::Mutex<Tended>,
}

/// What decides over scores.
#[derive(Debug)]
struct Policy {
    thresholds: Thresholds,
    prior: Prior,
    /// How long a renewed certificate stands beside the one that replaces it.
    renewal_grace: u64,
}
