//! What most embedders name: `use kakunin_core::prelude::*`.
//!
//! Errors and [`log::record`](crate::log::record) are left out, whose names others have too.

pub use crate::agent::{Agent, AgentState, NewAgent, Note};
pub use crate::event::{Amount, Attribution, Details, Event, EventKind, Outcome, StreamSeq};
pub use crate::id::{AgentId, Serial, TenantId};
pub use crate::issue::{Certificate, Profile};
pub use crate::key::{KeyAlgorithm, KeyProvider, Signer};
pub use crate::revoke::{Cause, Reason};
pub use crate::risk::{Band, Score};
pub use crate::scope::{Action, ScopeSet};
pub use crate::service::{Config, EventStatus, Kakunin, KeySource, Observed, Parts, Risk, Tenant};
pub use crate::store::MemoryStore;
#[cfg(feature = "sqlite")]
pub use crate::store::sqlite::SqliteStore;
#[cfg(not(target_family = "wasm"))]
pub use crate::time::SystemClock;
pub use crate::time::{Clock, UnixTime};
