//! Stores: everything the service keeps, in memory or in one SQLite file.
//!
//! | store | feature | durable |
//! |---|---|---|
//! | [`memory::MemoryStore`] | `service` | no: tests, and hosts that want no history |
//! | `sqlite::SqliteStore` | `sqlite` | yes: one file, WAL, every commit synced |
//!
//! Each passes the suites of `kakunin_core::conformance`.

pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use memory::MemoryStore;

use crate::log::sink::AuditSink;
use crate::revoke::RevocationStore;
use crate::state::StateStore;

/// A store for logs, revocations and state together.
pub trait Store: AuditSink + RevocationStore + StateStore {}

impl<T: AuditSink + RevocationStore + StateStore> Store for T {}
