//! What every store must do.

use std::sync::Arc;

use kakunin_core::conformance::{audit_sink, revocation_store, state_store, vault};
use kakunin_core::store::vault::{StateVault, Vault};
use pollster::block_on;

use crate::cluster::database;

#[test]
fn logs() {
    let database = database();
    let store = database.open();
    block_on(async {
        audit_sink::all(&store).await;
        audit_sink::what_follows_from_an_append_is_applied_with_it(&store).await;
    });
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
}

#[test]
fn state() {
    block_on(state_store::all(&database().open()));
}

#[test]
fn revocations() {
    block_on(revocation_store::all(&database().open()));
}

#[test]
fn secrets() {
    block_on(vault::all(&StateVault(Arc::new(database().open()))));
    let database = database();
    block_on(vault::secrets_survive_reopening(|| -> Arc<dyn Vault> {
        Arc::new(StateVault(Arc::new(database.open())))
    }));
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let database = database();
    block_on(async {
        audit_sink::acknowledged_is_present_after_reopening(|| Arc::new(database.open())).await;
        state_store::acknowledged_is_present_after_reopening(|| Arc::new(database.open())).await;
        revocation_store::acknowledged_is_present_after_reopening(|| Arc::new(database.open())).await;
    });
}
