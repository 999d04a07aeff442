//! Verification: a new certificate of a known issuer, and the same certificate again.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use kakunin_benches::Suite;
use kakunin_core::agent::NewAgent;
use kakunin_core::crypto::{Backend, PublicKey};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::{self, Profile};
use kakunin_core::key::{KeyAlgorithm, Spki};
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{Clock, SystemClock, UnixTime};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::{TrustAnchor, Verifier};
use pollster::block_on;
use rustls_pki_types::CertificateDer;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ACTION: &str = "write:payments";

struct World {
    kakunin: Kakunin,
    tenant: TenantId,
    leaf: Vec<u8>,
    /// Of another agent.
    other: Vec<u8>,
    now: UnixTime,
}

fn main() {
    // `cargo bench` passes arguments of the standard harness; there is nothing to choose here.
    let w = world();
    let tbs = CertificateView::parse(&w.leaf, &oid::Arc::default()).unwrap();
    let fast = PublicKey::parse(w.kakunin.issuer().key().spki()).unwrap();
    let portable = PublicKey::with_backend(fast.spki(), Backend::Portable).unwrap();
    let cold = w.verifier(Backend::fastest(), 0);
    let cold_portable = w.verifier(Backend::Portable, 0);
    let warm = w.verifier(Backend::fastest(), 1_024);
    // With one place, two in turns come for the first time each time.
    let (first, mut turns) = (w.verifier(Backend::fastest(), 1), [&w.leaf, &w.other].into_iter().cycle());
    let kept = warm.verify(&[&w.leaf], w.now).unwrap();
    let root = w.kakunin.root();
    let root = CertificateDer::from(root.as_der());
    let peer = w.peer(webpki::anchor_from_trusted_cert(&root).unwrap());

    Suite::new("a new certificate of a known issuer, RSA-2048, aws-lc, 1,000,000 revoked")
        .case("floor: one RSA-2048 verification, parsed key", 1, || {
            fast.verify(tbs.tbs, tbs.signature).unwrap()
        })
        .case("kakunin: verify and authorize (goal: 1.3)", 1, || {
            cold.check(&[&w.leaf], ACTION, w.now).unwrap()
        })
        .case("kakunin: the same with a cache, for the first time (goal: 1.3)", 1, || {
            first.check(&[turns.next().unwrap()], ACTION, w.now).unwrap()
        })
        .case("peer: webpki + aws-lc-rs, chain of two, no revocation, no scope", 1, || peer.check())
        .run();
    Suite::new("the same, portable algorithms")
        .case("floor: one RSA-2048 verification, parsed key", 1, || {
            portable.verify(tbs.tbs, tbs.signature).unwrap()
        })
        .case("kakunin: verify and authorize", 1, || cold_portable.check(&[&w.leaf], ACTION, w.now).unwrap())
        .run();
    Suite::new("the same certificate again, 1,000,000 revoked")
        .case("floor: comparing its octets", 1, || {
            w.leaf.as_slice() == std::hint::black_box(&w.leaf.clone()[..])
        })
        .case("kakunin: verify and authorize (goal: 500 ns)", 1, || {
            warm.check(&[&w.leaf], ACTION, w.now).unwrap()
        })
        .case("kakunin: authorize on an agent that is kept", 1, || kept.authorize(ACTION, w.now).unwrap())
        .run();
    w.issuance();
}

fn world() -> World {
    let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let kakunin = block_on(Kakunin::open(Config::new("bench.example").unwrap(), parts)).unwrap();
    let tenant: TenantId = "bench".parse().unwrap();
    block_on(kakunin.create_tenant(&tenant)).unwrap();
    let [leaf, other] = ["agent", "other"].map(|name| {
        let spec = NewAgent::new(name, MODEL, ["read:accounts", ACTION]).unwrap();
        let agent = block_on(kakunin.tenant(&tenant).register(spec)).unwrap();
        let source = KeySource::default();
        block_on(kakunin.tenant(&tenant).certify(&agent.id, Profile::Standard, source)).unwrap()
    });
    // A million serials of the same issuer, as its own randomness would draw them.
    let mut state = 1_u64;
    let serials = (0..1_000_000).map(|_| {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state ^ state >> 29).to_be_bytes()
        };
        let octets: Vec<u8> = [next(), next()].concat();
        let mut octets: [u8; 16] = octets.try_into().unwrap();
        *octets.first_mut().unwrap() = 0x40 | octets.first().unwrap() & 0x3f;
        (Serial::from_bytes(octets).unwrap(), Reason::PrivilegeWithdrawn)
    });
    kakunin.revocations().replace(kakunin.issuer().id(), &RevokedSet::from_entries(serials));
    World { kakunin, tenant, leaf: leaf.der, other: other.der, now: SystemClock.now() }
}

type TrustAnchorOf<'w> = rustls_pki_types::TrustAnchor<'w>;

/// What somebody without us would do: everything parsed and loaded before it is timed.
struct Peer<'w> {
    leaf: CertificateDer<'w>,
    issuing: [CertificateDer<'w>; 1],
    anchors: [TrustAnchorOf<'w>; 1],
    time: rustls_pki_types::UnixTime,
}

impl Peer<'_> {
    fn check(&self) {
        let (usage, algorithms) = (webpki::KeyUsage::client_auth(), webpki::ALL_VERIFICATION_ALGS);
        let end = webpki::EndEntityCert::try_from(&self.leaf).unwrap();
        end.verify_for_usage(algorithms, &self.anchors, &self.issuing, self.time, usage, None, None).unwrap();
    }
}

impl World {
    fn verifier(&self, backend: Backend, cache: usize) -> Verifier {
        let domain = self.kakunin.place().trust_domain.clone();
        Verifier::builder(self.kakunin.revocations())
            .anchor(TrustAnchor::new(self.kakunin.root().as_der(), domain).unwrap())
            .issuer(self.kakunin.issuer().as_der())
            .backend(backend)
            .cache_capacity(cache)
            .build(self.now)
            .unwrap()
    }

    fn peer<'w>(&'w self, anchor: TrustAnchorOf<'w>) -> Peer<'w> {
        Peer {
            leaf: CertificateDer::from(self.leaf.as_slice()),
            issuing: [CertificateDer::from(self.kakunin.issuer().as_der().to_vec())],
            anchors: [anchor],
            time: rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(self.now.secs())),
        }
    }

    /// Everything in issuance but the signature, beside the cheapest signature there is.
    fn issuance(&self) {
        let keys = LocalKeys::ephemeral();
        let planned = kakunin_core::key::PlannedKeyId::new([1; 16]);
        use kakunin_core::key::KeyProvider;
        let key = block_on(keys.generate(&planned, KeyAlgorithm::P256)).unwrap();
        let signer = block_on(keys.open(&key)).unwrap();
        let spec = NewAgent::new("agent", MODEL, ["read:accounts", ACTION]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.tenant).register(spec)).unwrap();
        let spki: &Spki = signer.public_key();
        let serial = Serial::from_bytes([0x41; 16]).unwrap();
        let (issuer, place, now) = (self.kakunin.issuer(), self.kakunin.place(), SystemClock.now());
        Suite::new("issuing")
            .case("floor: one P-256 signature", 1, || block_on(signer.sign(&[7; 900])).unwrap())
            .case("kakunin: prepare and lint, no signature (goal: 45 us)", 1, || {
                issue::prepare(&issuer, place, &agent, spki, Profile::Standard, serial, now).unwrap()
            })
            .run();
    }
}
