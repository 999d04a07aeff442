//! What this process refused, cut or took away, as `/metrics` shows it. What strangers bring about is logged once a minute.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::exposition::Exposition;

/// Milliseconds between two lines of the log about one kind.
const SELDOM: u64 = 60_000;

/// How often something happened.
#[derive(Debug)]
pub(crate) struct Counter {
    name: &'static str,
    help: &'static str,
    count: AtomicU64,
    /// When it was last logged, in milliseconds of this process; 0 if never.
    told: AtomicU64,
}

macro_rules! counters {
    ($($id:ident: $name:literal, $help:literal;)+) => {
        $(pub(crate) static $id: Counter = Counter::new($name, $help);)+
        static ALL: &[&Counter] = &[$(&$id),+];
    };
}

counters! {
    CONNECTIONS_REFUSED: "connections_refused_total", "Connections closed at once: their address had all it may have.";
    CONNECTIONS_NOT_ACCEPTED: "connections_not_accepted_total", "Attempts to accept a connection that the system refused.";
    CONNECTIONS_SILENT: "connections_silent_total", "Connections closed because no request came in time.";
    BODIES_NOT_TAKEN: "response_bodies_cut_total", "Answers that were cut because they were not taken in time.";
    BODIES_NOT_SENT: "request_bodies_cut_total", "Requests whose body did not come in time.";
    BODIES_CROWDED: "bodies_refused_total", "Bodies refused: their address, or all together, held too much memory.";
    LISTINGS_REFUSED: "listings_refused_total", "Lists and searches refused because others of the tenant were under way.";
    ANONYMOUS_REFUSED: "anonymous_refused_total", "Requests without an account beyond what one address may ask.";
    AUTHENTICATIONS_FAILED: "authentications_failed_total", "Requests that did not show who asks, or showed an identity that is gone.";
    STORAGE_REFUSED: "storage_refused_total", "Requests, and events of batches, refused because the store has no room left.";
    REFUSALS_UNRECORDED: "gateway_refusals_unrecorded_total", "Refusals of a gateway's check that are not on record: too much waited to be written, the store had no room left, or the vault did not answer.";
    IDENTITIES_TAKEN: "automatic_revocations_total", "Identities taken away for what agents did, also where a person confirmed that.";
    IDENTITIES_HELD: "breaker_holds_total", "Identities that a breaker holds, or held, instead of taking them away.";
    CERTIFICATES_UNREADABLE: "gateway_certificates_unreadable_total", "Requests of gateways whose certificate is not in the form and field that is configured.";
}

impl Counter {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, count: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    /// Counts one more, and says whether it is time to log it.
    pub(crate) fn count(&self) -> bool {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        self.count.fetch_add(1, Ordering::Relaxed);
        let now = BEGAN.get_or_init(Instant::now).elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1);
        let told = self.told.load(Ordering::Relaxed);
        let due = told == 0 || now.saturating_sub(told) >= SELDOM;
        due && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// All of them.
pub(super) fn write(to: &mut Exposition) {
    for Counter { name, help, count, .. } in ALL {
        to.counter(name, help, count.load(Ordering::Relaxed));
    }
}
