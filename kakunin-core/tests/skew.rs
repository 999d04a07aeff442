//! Clocks that disagree: relying parties that are behind, and a server whose clock is set back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{MODEL, NOW, P256, config, deployment, parts};
use kakunin_core::access::{ApiKey, Role};
use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::record::{Body, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Kakunin, KeySource, Parts};
use kakunin_core::time::{Clock, HOUR, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme }
}

/// A workload with a key of its own.
struct Workload(Arc<dyn Signer>);

impl Workload {
    fn new() -> Self {
        let keys = LocalKeys::ephemeral();
        let key = block_on(keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256)).unwrap();
        Self(block_on(keys.open(&key)).unwrap())
    }

    fn request(&self) -> Vec<u8> {
        let request = RequestToSign::new(self.0.public_key());
        let signature = block_on(self.0.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    /// The request for this key in place of that one's, and the word of that one.
    fn after(&self, old: &Self, certificate: &Certificate) -> (Vec<u8>, Vec<u8>) {
        let request = self.request();
        let text = Proven::read(&request).unwrap().binding_text(&certificate.facts.serial);
        let word = block_on(old.0.sign(text.as_bytes())).unwrap();
        (request, word.as_bytes().to_vec())
    }
}

impl World {
    fn register(&self) -> AgentId {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
    }

    /// Has an agent join with a token and a key of its own.
    fn join(&self, token: &str) -> Result<(), &'static str> {
        let joined = block_on(self.kakunin.enrol(token, &Workload::new().request()));
        joined.map(|_| ()).map_err(|error| error.code())
    }

    fn issue(&self) -> Certificate {
        let agent = self.register();
        block_on(self.kakunin.tenant(&self.acme).certify(&agent, Profile::Standard, P256)).unwrap()
    }

    fn reason(&self, of: &Certificate) -> Option<Reason> {
        self.kakunin.revocations().reason(&of.facts.issuer, &of.facts.serial).unwrap()
    }

    /// Whether openssl accepts a certificate with the full CRL as it stands, by a clock that says `at`.
    fn openssl(&self, leaf: &Certificate, at: UnixTime) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let crl = block_on(self.kakunin.published_crl(&leaf.facts.issuer, None)).unwrap();
        write("root", pem::encode(pem::CERTIFICATE, self.kakunin.root().as_der()));
        write("issuing", pem::encode(pem::CERTIFICATE, self.kakunin.issuer().as_der()));
        write("leaf", pem::encode(pem::CERTIFICATE, &leaf.der));
        write("crl", pem::encode(pem::CRL, &crl.der));
        let line = "verify -x509_strict -crl_check -CAfile root -untrusted issuing -CRLfile crl -attime";
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).arg(at.secs().to_string()).arg("leaf").current_dir(dir.path());
        openssl.output().unwrap().status.success()
    }
}

#[test]
fn relying_parties_that_are_minutes_behind_accept_what_is_fresh() {
    let w = world();
    // Also of CAs that were made a moment ago: the first ones, and those of a rotation.
    for now in [NOW, NOW.plus(HOUR)] {
        w.clock.set(now);
        if now > NOW {
            block_on(w.kakunin.rotate_issuing(None)).unwrap();
        }
        let leaf = w.issue();
        assert!(w.openssl(&leaf, now) && w.openssl(&leaf, now.minus(4 * MINUTE)));
        assert!(!w.openssl(&leaf, now.minus(6 * MINUTE)), "no more than was said");
        let (issuing, root) = (w.kakunin.issuer(), w.kakunin.root());
        assert_eq!(issuing.not_before(), now.minus(5 * MINUTE));
        assert!(issuing.not_before() >= root.not_before() && leaf.facts.not_before >= issuing.not_before());
    }
}

#[test]
fn a_clock_that_is_set_back_revives_nothing_and_lengthens_nothing() {
    let w = world();
    let (revoked, stands) = (w.issue(), w.issue());
    let spec = NewAgent::new("two", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
    w.clock.set(NOW.plus(HOUR));
    block_on(w.kakunin.tenant(&w.acme).revoke(&revoked.facts.serial, Cause::KeyCompromise)).unwrap();
    let before = block_on(w.kakunin.published_crl(&revoked.facts.issuer, None)).unwrap();
    w.clock.set(NOW);
    let tenant = w.kakunin.tenant(&w.acme);
    let made = tenant.create_join_token(&agent, Profile::Standard, MINUTE);
    let (facts, _) = block_on(made).unwrap();
    // By the clock, which is what it is held against; the log's time never goes back.
    assert_eq!(facts.expires_at, NOW.plus(MINUTE));
    assert_eq!((w.reason(&revoked), w.reason(&stands)), (Some(Reason::KeyCompromise), None));
    let late = w.issue();
    block_on(w.kakunin.tenant(&w.acme).revoke(&late.facts.serial, Cause::Superseded)).unwrap();
    w.clock.set(NOW.plus(31 * SECOND));
    let after = block_on(w.kakunin.published_crl(&revoked.facts.issuer, None)).unwrap();
    assert!(after.number > before.number, "a clock that was wrong keeps no revocation off the CRL");
    // From when the CRL begins that a clock an hour ahead made; until then nobody who checks that accepts anything
    // (ADR 16).
    for (leaf, good) in [(&stands, true), (&revoked, false), (&late, false)] {
        assert_eq!(w.openssl(leaf, NOW.plus(HOUR)), good);
        assert!(!w.openssl(leaf, NOW.plus(MINUTE)));
    }
    let records = block_on(w.kakunin.tenant(&w.acme).records(None, 100, |_| true)).unwrap().items;
    assert!(records.is_sorted_by(|newer, older| newer.record.time >= older.record.time));
}

#[test]
fn after_a_clock_that_was_ahead_was_put_right_what_is_promised_goes_by_the_clock() {
    let w = world();
    let (registered, early) = (w.register(), w.register());
    let ahead = NOW.plus(2 * HOUR);
    w.clock.set(ahead);
    let stopped = w.issue();
    let made = |agent: &AgentId, life| {
        block_on(w.kakunin.tenant(&w.acme).create_join_token(agent, Profile::Standard, life)).unwrap()
    };
    let (_, too_early) = made(&early, 10 * MINUTE);
    assert_eq!(w.kakunin.log_ahead(), 0);
    w.clock.set(NOW);
    assert_eq!(w.kakunin.log_ahead(), 2 * HOUR);
    // A certificate is valid at once, for openssl too.
    let leaf = w.issue();
    assert_eq!((leaf.facts.not_before, leaf.facts.issuer), (NOW.minus(5 * MINUTE), stopped.facts.issuer));
    assert!(w.openssl(&leaf, NOW));
    // A stop and the revocation under it say when that was.
    let halt =
        block_on(w.kakunin.tenant(&w.acme).halt(&leaf.facts.agent, Cause::KeyCompromise, None)).unwrap();
    assert_eq!(halt.at, NOW);
    let revoked =
        block_on(w.kakunin.tenant(&w.acme).revoke(&stopped.facts.serial, Cause::Superseded)).unwrap();
    assert_eq!(revoked.at, NOW);
    // A token lives as long as was said, and one that was made by the wrong clock opens nothing.
    let (facts, token) = made(&registered, 10 * MINUTE);
    assert_eq!(facts.expires_at, NOW.plus(10 * MINUTE));
    w.clock.set(NOW.plus(MINUTE));
    assert_eq!(w.join(too_early.reveal()), Err("join_token_invalid"));
    w.clock.set(NOW.plus(10 * MINUTE + SECOND));
    assert_eq!(w.join(token.reveal()), Err("join_token_invalid"));
    let (_, token) = made(&registered, 10 * MINUTE);
    w.clock.set(NOW.plus(20 * MINUTE));
    assert_eq!(w.join(token.reveal()), Ok(()));
    // The log goes on in its order, and not further ahead: at half the clock's pace.
    let records = block_on(w.kakunin.tenant(&w.acme).records(None, 100, |_| true)).unwrap().items;
    assert!(records.is_sorted_by(|newer, older| newer.record.time >= older.record.time));
    let last = records.first().unwrap().record.time;
    assert!(ahead < last && last <= ahead.plus(10 * MINUTE), "{last}");
    assert_eq!(w.kakunin.log_ahead(), last.since(NOW.plus(20 * MINUTE)));
    w.clock.set(NOW.plus(5 * HOUR));
    w.issue();
    let records = block_on(w.kakunin.tenant(&w.acme).records(None, 1, |_| true)).unwrap().items;
    assert_eq!(records.first().unwrap().record.time, NOW.plus(5 * HOUR));
    assert_eq!(w.kakunin.log_ahead(), 0);
}

#[test]
fn a_key_with_an_end_that_a_clock_made_ahead_lives_no_longer_than_was_said() {
    let w = world();
    let make = |life: Option<u64>| {
        let end = life.map(|life| w.clock.now().plus(life));
        let tenant = w.kakunin.tenant(&w.acme);
        let made = tenant.create_api_key(Role::Operator, "one".parse().unwrap(), end);
        let (facts, key) = block_on(made).unwrap();
        (facts.id, key)
    };
    w.clock.set(NOW.plus(2 * HOUR));
    let ((id, ends), (_, stays)) = (make(Some(HOUR)), make(None));
    let opens = |kakunin: &Kakunin, key: &ApiKey| kakunin.authenticate(key.reveal()).is_some();
    assert!(opens(&w.kakunin, &ends) && opens(&w.kakunin, &stays));
    // A clock that is kept right may step back a little.
    w.clock.set(NOW.plus(2 * HOUR).minus(MINUTE));
    assert!(opens(&w.kakunin, &ends));
    w.clock.set(NOW);
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    for kakunin in [&w.kakunin, &reopened] {
        assert!(!opens(kakunin, &ends) && kakunin.api_key(&id).is_none());
        assert!(opens(kakunin, &stays), "it was to live for ever");
    }
    // It opens for as long as was said, and no longer.
    w.clock.set(NOW.plus(2 * HOUR));
    assert!(opens(&w.kakunin, &ends));
    w.clock.set(NOW.plus(3 * HOUR).plus(SECOND));
    assert!(!opens(&w.kakunin, &ends) && opens(&w.kakunin, &stays));
    let (_, right) = make(Some(HOUR));
    assert!(opens(&w.kakunin, &right));
}

#[test]
fn a_restart_knows_that_the_log_is_ahead_and_no_append_pushes_it_further() {
    let mut w = world();
    let first = NOW.plus(2 * HOUR);
    w.clock.set(first);
    w.issue();
    w.clock.set(NOW);
    w.kakunin = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(w.kakunin.load()).unwrap();
    let mut ahead = w.kakunin.log_ahead();
    assert_eq!(ahead, 2 * HOUR);
    for minutes in [0, 1, 1, 2, 30, 60, 61, 90] {
        w.clock.set(NOW.plus(minutes * MINUTE));
        w.issue();
        assert!(w.kakunin.log_ahead() <= ahead, "{minutes}");
        ahead = w.kakunin.log_ahead();
    }
    assert!((2 * HOUR - 46 * MINUTE..=2 * HOUR - 44 * MINUTE).contains(&ahead), "half of the time: {ahead}");
    // Set back again: it stands where it is.
    w.clock.set(NOW);
    let ahead = w.kakunin.log_ahead();
    w.issue();
    assert_eq!(w.kakunin.log_ahead(), ahead);
}

#[test]
fn an_authority_that_a_clock_made_ahead_is_replaced_when_it_was_put_right() {
    let w = world();
    w.clock.set(NOW.plus(2 * HOUR));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    w.clock.set(NOW);
    let agent = w.register();
    let refused = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap_err();
    assert_eq!(refused.code(), "issuer_not_yet_valid");
    assert_eq!(block_on(w.kakunin.check_signing()).unwrap_err().code(), "issuer_not_yet_valid");
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    assert!(w.openssl(&w.issue(), NOW));
}

#[test]
fn an_agent_renews_itself_by_the_clock_and_not_by_the_log() {
    let w = world();
    let binding_key = Workload::new();
    w.clock.set(NOW.plus(2 * HOUR));
    w.issue();
    w.clock.set(NOW);
    let agent = w.register();
    let csr = binding_key.request();
    let source = KeySource::Request(&csr);
    let first = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Ephemeral, source)).unwrap();
    let next = Workload::new();
    let (request, word) = next.after(&binding_key, &first);
    let renew = || {
        let model = MODEL.parse().unwrap();
        let renewed = block_on(w.kakunin.renew_own(&first.facts.serial, &model, &request, &word));
        renewed.map(|_| ()).map_err(|error| error.code())
    };
    w.clock.set(NOW.plus(5 * MINUTE));
    assert_eq!(renew(), Err("self_renewal_limited"));
    w.clock.set(NOW.plus(7 * MINUTE));
    assert_eq!(renew(), Ok(()));
}

/// Recorded events have times of their own, whatever the clock says; the log's time never goes back.
#[test]
fn a_replay_records_each_event_at_its_own_time() {
    let w = world();
    let agent = w.register();
    let issued = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap();
    let event = || Event::new(issued.facts.serial, "read:accounts".parse().unwrap(), Outcome::Ok);
    let after = |millis: &[u64]| millis.iter().map(|ms| NOW.plus(*ms)).collect::<Vec<_>>();
    let batches =
        [vec![1_000, 1_001, HOUR, 4 * HOUR], vec![4 * HOUR + 1, 3 * HOUR, 9 * HOUR], vec![9 * HOUR + 5]];
    // As its caller left it: at the last of the batch, before the first, after all.
    for (batch, clock) in batches.iter().zip([4 * HOUR, 0, 20 * HOUR]) {
        w.clock.set(NOW.plus(clock));
        let events = after(batch).into_iter().map(|at| (at, event())).collect();
        block_on(w.kakunin.tenant(&w.acme).replay(events))
            .unwrap()
            .into_iter()
            .for_each(|seen| _ = seen.unwrap());
    }
    // What is not replayed goes by the clock again.
    w.clock.set(NOW.plus(21 * HOUR));
    block_on(w.kakunin.tenant(&w.acme).observe(event())).unwrap();
    let entries = block_on(w.kakunin.tenant(&w.acme).entries(0, 100)).unwrap();
    let records = entries.iter().map(|entry| Record::open(entry).unwrap());
    let recorded = records.filter(|r| matches!(r.body, Body::Event(..))).map(|r| r.time).collect::<Vec<_>>();
    let last = 4 * HOUR + 1;
    assert_eq!(
        recorded,
        after(&[1_000, 1_001, HOUR, 4 * HOUR, last, last, 9 * HOUR, 9 * HOUR + 5, 21 * HOUR])
    );
}
