//! A certificate is known for a while after it expired. Then it leaves memory and store, and the log keeps it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, Parts};
use kakunin_core::store::state::Kind;
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    config: Config,
    clock: Arc<ManualClock>,
    acme: TenantId,
    agent: AgentId,
    now: UnixTime,
}

fn world(retention: u64) -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let config = Config { certificate_retention: retention, ..config() };
    let (kakunin, acme) = deployment(config.clone(), &parts);
    let spec = NewAgent::new("one", MODEL, ["read:a"]).unwrap();
    let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
    World { kakunin, parts, config, clock, acme, agent, now: NOW }
}

impl World {
    /// A certificate for an hour, after the one before expired.
    fn next(&mut self) -> Serial {
        self.now = self.now.plus(HOUR + 10 * MINUTE);
        self.clock.set(self.now);
        let issued = block_on(self.kakunin.tenant(&self.acme).certify(&self.agent, Profile::Ephemeral, P256));
        issued.unwrap().facts.serial
    }

    fn later(&mut self, by: u64) {
        self.now = self.now.plus(by);
        self.clock.set(self.now);
    }

    fn rows(&self, kind: Kind) -> usize {
        let log = LogId::Tenant(self.acme.clone());
        block_on(self.parts.state.scan(&log, kind, None, 100_000)).unwrap().len()
    }

    fn listed(&self) -> Vec<Serial> {
        let listed = block_on(self.kakunin.tenant(&self.acme).certificates(&self.agent)).unwrap();
        listed.into_iter().map(|entry| entry.facts.serial).collect()
    }

    fn is_found(&self, serial: &Serial) -> bool {
        match block_on(self.kakunin.find(serial)) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.code(), "not_found");
                assert!(error.to_string().contains("in the log alone"), "{error}");
                assert_eq!(
                    block_on(self.kakunin.tenant(&self.acme).certificate(serial)).unwrap_err().code(),
                    "not_found"
                );
                let revoked = block_on(self.kakunin.tenant(&self.acme).revoke(serial, Cause::KeyCompromise));
                assert_eq!(revoked.unwrap_err().code(), "not_found");
                false
            }
        }
    }
}

#[test]
fn what_expired_long_ago_leaves_a_few_at_once_and_the_log_keeps_it() {
    let mut w = world(3 * DAY);
    let mut all: Vec<_> = (0..10).map(|_| w.next()).collect();
    assert_eq!((w.listed(), w.rows(Kind::Certificate)), (all.clone(), 10));
    w.later(4 * DAY);
    // Not by itself: as the agent is given new ones.
    assert!(w.is_found(all.first().unwrap()));
    for kept in [7, 4, 3, 4] {
        all.push(w.next());
        let expected: Vec<_> = all.iter().copied().skip(all.len() - kept).collect();
        assert_eq!(
            (w.listed(), w.rows(Kind::Certificate), w.rows(Kind::Standing)),
            (expected, kept, 2 * kept)
        );
    }
    for (index, serial) in all.iter().enumerate() {
        assert_eq!(w.is_found(serial), index >= all.len() - 4, "{index}");
    }
    let records = block_on(w.parts.sink.read(&LogId::Tenant(w.acme.clone()), 0, 10_000)).unwrap().len();
    assert!(records > 10 * 3, "the log is as it was");
    // Also after a start, and where the state was lost.
    for lost in [false, true] {
        if lost {
            w.parts.vault = Some(w.parts.vault());
            w.parts.state = Arc::new(kakunin_core::store::MemoryStore::new());
        }
        let listed = w.listed();
        w.kakunin = reopened(w.config.clone(), &w.parts);
        assert_eq!(w.listed(), listed, "{lost}");
        assert!(!w.is_found(all.first().unwrap()) && w.is_found(all.last().unwrap()));
    }
}

#[test]
fn what_was_taken_away_stays_and_what_a_longer_retention_let_happen_is_read_back() {
    let mut w = world(300 * DAY);
    let bad = w.next();
    block_on(w.kakunin.tenant(&w.acme).revoke(&bad, Cause::KeyCompromise)).unwrap();
    let reason = "looked into it".to_owned().try_into().unwrap();
    block_on(w.kakunin.tenant(&w.acme).reinstate(&w.agent, reason)).unwrap();
    let (first, second) = (w.next(), w.next());
    w.later(100 * DAY);
    w.next();
    // Long after they expired.
    block_on(w.kakunin.tenant(&w.acme).revoke(&first, Cause::Superseded)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).hold(&second)).unwrap();
    w.next();
    assert_eq!(w.listed().len(), 5);
    // By a shorter one, from the first record: the revocation of what had left by then is no reason to stop.
    w.config.certificate_retention = 0;
    w.parts.vault = Some(w.parts.vault());
    w.parts.state = Arc::new(kakunin_core::store::MemoryStore::new());
    w.kakunin = reopened(w.config.clone(), &w.parts);
    assert!(w.is_found(&bad), "what was revoked for cause is never forgotten");
    assert!(!w.is_found(&first) && !w.is_found(&second));
    assert_eq!(w.listed().len(), 3);
    w.later(10 * DAY);
    w.next();
    assert_eq!(w.listed().len(), 2);
}
