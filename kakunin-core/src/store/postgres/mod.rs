//! Everything in a PostgreSQL database that several processes share: ADR 32.
//!
//! | part | does |
//! |---|---|
//! | `store.rs`, `sink.rs`, `projections.rs` | the contracts of stores, over what follows |
//! | `options.rs`, `tls.rs` | where the database is, and how it is spoken to |
//! | `link.rs`, `pipeline.rs`, `pool.rs`, `runs.rs` | connections, statements that are sent at once, connections in store, who runs them |
//! | `sql.rs`, `migrations/` | every statement, and the tables |
//! | `append.rs`, `changes.rs`, `writers.rs`, `rows.rs`, `view.rs` | writing and reading |
//! | `turns.rs` | whose turn it is to append to a log |
//! | `grown.rs`, `listen.rs` | what others appended |
//! | `duty.rs`, `clock.rs` | who is on duty, and what time it is |
//! | `migrate.rs`, `check.rs` | making the tables, and looking whether they are as they were made |
//!
//! `audit` is written once, and `state` is kept up to date. What keeps a log from forking is its row in `state.head`; turns keep
//! processes from deciding in vain.

mod append;
mod changes;
mod check;
mod clock;
mod duty;
mod error;
mod grown;
mod link;
mod listen;
mod migrate;
mod options;
mod pipeline;
mod pool;
mod projections;
mod rows;
mod runs;
mod sink;
mod sql;
mod store;
mod tls;
mod turns;
mod values;
mod view;
mod writers;

pub use clock::PostgresClock;
pub use migrate::{Migrated, Roles, migrate};
pub use options::PostgresOptions;
pub use store::PostgresStore;
