//! What an operator is told of a database that servers share.

use std::collections::BTreeSet;
use std::sync::Arc;

use kakunin_core::service::Kakunin;
use kakunin_core::store::postgres::PostgresStore;
use kakunin_core::time::SECOND;

/// What was told last.
#[derive(Debug)]
pub(super) struct Database {
    store: Arc<PostgresStore>,
    on_duty: bool,
    silent: bool,
    found: BTreeSet<String>,
}

impl Database {
    /// What is so at the start was said there.
    pub(super) fn of(store: Arc<PostgresStore>, kakunin: &Kakunin) -> Self {
        Self { store, on_duty: kakunin.is_on_duty(), silent: false, found: BTreeSet::new() }
    }

    /// Says once that duty was taken or lost, and that the database is silent or heard again; now and then also what is wrong
    /// with its tables.
    pub(super) async fn look(&mut self, kakunin: &Kakunin, thoroughly: bool) {
        let on_duty = kakunin.is_on_duty();
        match (self.on_duty, on_duty) {
            (false, true) => tracing::info!("this server is on duty: it does what one of several does"),
            (true, false) => tracing::warn!(
                "this server is not on duty any more: another one is, or the database is silent"
            ),
            _ => {}
        }
        self.on_duty = on_duty;
        let (silent, seconds) = (kakunin.is_out_of_touch(), kakunin.silence().unwrap_or_default() / SECOND);
        match (self.silent, silent) {
            (false, true) => tracing::error!(
                seconds,
                "the database was not heard: nobody is let in until it is, for trust may have been taken away elsewhere"
            ),
            (true, false) => tracing::info!("the database is heard again"),
            _ => {}
        }
        self.silent = silent;
        // One that does not answer is told of above.
        if thoroughly && let Ok(found) = self.store.check_again().await {
            let found: BTreeSet<_> = found.into_iter().collect();
            for what in found.difference(&self.found) {
                tracing::error!(%what, "the database is not as it has to be");
            }
            self.found = found;
        }
    }
}
