//! Stores: the contracts of everything the service keeps, and who keeps it: in memory, in one SQLite file or in
//! a PostgreSQL database.
//!
//! | contract | keeps |
//! |---|---|
//! | [`audit::AuditSink`] | logs |
//! | [`revocations::RevocationStore`] | revocations, a projection of them |
//! | [`state::StateStore`] | the other projections, and what lies beside the logs |
//! | [`vault::Vault`] | secrets that no log holds; in the state store, unless somebody else keeps them |
//!
//! [`duty`] says which of several processes does what one is to do. [`guard`] keeps the newest checkpoints outside of the store, and `heads.rs` reads those that a log had, for who checks it.
//! `bound.rs` says which agent each public key belongs to; sinks keep it beside the logs.
//!
//! | store | feature | durable |
//! |---|---|---|
//! | [`memory::MemoryStore`] | `service` | no: tests, and hosts that want no history |
//! | `sqlite::SqliteStore` | `sqlite` | yes: one file, WAL, every commit synced |
//! | `postgres::PostgresStore` | `postgres` | yes: a database that several processes share, every commit synced |
//!
//! Each passes the suites of `kakunin_core::conformance`.

pub mod audit;
pub mod bound;
pub mod duty;
pub mod guard;
pub mod heads;
mod kind;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod levels;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod revocations;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod state;
pub mod vault;

pub use memory::MemoryStore;

use audit::AuditSink;
use revocations::RevocationStore;
use state::StateStore;

/// A store for logs, revocations and state together.
pub trait Store: AuditSink + RevocationStore + StateStore {}

impl<T: AuditSink + RevocationStore + StateStore> Store for T {}
