//! The stores of this crate, each through the suites that any store must pass.

#![cfg(all(feature = "sqlite", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use kakunin_core::conformance::{audit_sink, revocation_store, state_store};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::store::{MemoryStore, Store};
use pollster::block_on;

fn suites(store: &impl Store) {
    block_on(async {
        state_store::all(store).await;
        revocation_store::all(store).await;
        audit_sink::all(store).await;
    });
}

#[test]
fn memory() {
    suites(&MemoryStore::new());
}

#[test]
fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    suites(&SqliteStore::open(dir.path().join("k.db")).unwrap());
}

#[test]
fn sqlite_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn kakunin_core::log::sink::AuditSink> {
        Arc::new(SqliteStore::open(dir.path().join("k.db")).unwrap())
    };
    block_on(audit_sink::acknowledged_is_present_after_reopening(open));
}
