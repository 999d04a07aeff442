//! Fast paths, for an instruction counter: `.ci/counts` runs this under callgrind, which counts what is done in the functions
//! of `counted`, and holds it to the counts on record.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark that cannot go on has failed"
)]

use std::path::Path;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::crypto::PublicKey;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::record::Record;
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_core::service::{Config, EventStatus, Kakunin, KeySource, Observed, Parts, Tenant};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{MINUTE, ManualClock, UnixTime};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::possession::{Authorities, Authority, Nonces, Outgoing, RequestToSign};
use kakunin_verify::{RevocationHandle, Snapshot, TrustAnchor, VerifiedAgent, Verifier};
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ACTION: &str = "write:payments";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
/// How often each is done that checks a signature, and each that does not.
const FEW: usize = 20;
const MANY: usize = 1_000;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(1..).unwrap_or_default() {
        [what, dir] if what == "prepare" => prepare(Path::new(dir)),
        [what, dir] if what == "run" => run(&Prepared::read(Path::new(dir))),
        // `cargo bench` has no counter.
        _ => println!("see .ci/counts"),
    }
}

fn deployment(ca: KeyAlgorithm) -> (Kakunin, TenantId, Parts) {
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    parts.clock = Arc::new(ManualClock::at(NOW));
    let mut config = Config::new("bench.example").unwrap();
    config.ca_algorithms = (ca, ca);
    let kakunin = block_on(Kakunin::open(config, parts.clone())).unwrap();
    let tenant: TenantId = "bench".parse().unwrap();
    block_on(kakunin.create_tenant(&tenant)).unwrap();
    (kakunin, tenant, parts)
}

/// What an agent needs that is verified: made without a counter, since it takes long to make RSA keys under one.
fn prepare(dir: &Path) {
    let (kakunin, tenant, parts) = deployment(KeyAlgorithm::Rsa2048);
    let tenant = kakunin.tenant(&tenant);
    let agent = block_on(tenant.register(NewAgent::new("agent", MODEL, ["read:accounts", ACTION]).unwrap()));
    let agent = agent.unwrap().id;
    let leaf = block_on(tenant.certify(&agent, Profile::Standard, KeySource::default())).unwrap();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.join(name), octets).unwrap();
    write("root", kakunin.root().as_der());
    write("issuing", kakunin.issuer().as_der());
    write("leaf", &leaf.der);
    let authority = authority();
    let request = Outgoing { method: "POST", target: "/payments", authority: &authority, content: b"" };
    let key = block_on(tenant.certificates(&agent)).unwrap().pop().unwrap().key.unwrap();
    let key = block_on(parts.keys.open(&key)).unwrap();
    for n in 0..FEW {
        let (serial, nonce) = (&leaf.facts.serial, format!("nonce-nonce-{n:08}"));
        let to_sign = RequestToSign::new(&request, serial, KeyAlgorithm::Rsa2048, &nonce, NOW);
        let signed = block_on(key.sign(to_sign.to_be_signed())).unwrap();
        write(&format!("input-{n}"), to_sign.signature_input().as_bytes());
        write(&format!("signature-{n}"), to_sign.signature(&signed).unwrap().as_bytes());
    }
}

fn authority() -> Authority {
    "api.example".parse().unwrap()
}

struct Prepared {
    root: Vec<u8>,
    issuing: Vec<u8>,
    leaf: Vec<u8>,
    requests: Vec<(String, String)>,
}

impl Prepared {
    fn read(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let text = |name: String| String::from_utf8(read(&name)).unwrap();
        let requests = (0..FEW).map(|n| (text(format!("input-{n}")), text(format!("signature-{n}"))));
        Self {
            root: read("root"),
            issuing: read("issuing"),
            leaf: read("leaf"),
            requests: requests.collect(),
        }
    }

    fn verifier(&self, cache: usize) -> Verifier {
        let revocations = RevocationHandle::default();
        let verifier = Verifier::builder(revocations.clone())
            .anchor(TrustAnchor::new(&self.root, "bench.example".parse().unwrap()).unwrap())
            .issuer(self.issuing.as_slice())
            .cache_capacity(cache)
            .build(NOW)
            .unwrap();
        let serial = |n: u8| Serial::from_bytes([1 + n % 100; 16]).unwrap();
        let revoked = RevokedSet::from_entries((0..100).map(|n| (serial(n), Reason::PrivilegeWithdrawn)));
        let issuer = *verifier.issuers().first().unwrap();
        revocations.publish(Snapshot::new(NOW).with(issuer, revoked));
        verifier
    }
}

fn run(prepared: &Prepared) {
    let leaf = &prepared.leaf;
    let (issuing, arc) = (prepared.issuing.clone(), oid::Arc::default());
    let ca = CertificateView::parse(&issuing, &arc).unwrap();
    let key = PublicKey::parse(&kakunin_core::key::Spki::from_der(ca.spki).unwrap()).unwrap();
    let view = CertificateView::parse(leaf, &arc).unwrap();
    key.verify(view.tbs, view.signature).unwrap();
    counted::floor_rsa_2048(&key, &view);
    let verifiers = |cache| (0..FEW).map(|_| prepared.verifier(cache)).collect::<Vec<_>>();
    counted::verify_cold_without_cache(&verifiers(0), leaf);
    counted::verify_cold_with_cache(&verifiers(1_024), leaf);
    let kept = verifiers(1_024);
    kept.iter().for_each(|verifier| _ = verifier.verify(&[leaf], NOW).unwrap());
    counted::verify_cold_and_kept(&kept, leaf);
    let warm = prepared.verifier(1_024);
    let agent = [(); 2].map(|()| warm.verify(&[leaf], NOW).unwrap()).into_iter().next().unwrap();
    counted::verify_warm(&warm, leaf);
    counted::authorize(&agent);
    let (us, nonces) =
        (Authorities::new(["api.example"]).unwrap(), Nonces::new(100_000, UnixTime::default()));
    counted::possession(&prepared.requests, &agent, &us, &nonces);
    let (kakunin, tenant, _) = deployment(KeyAlgorithm::P256);
    let tenant = kakunin.tenant(&tenant);
    let agent =
        block_on(tenant.register(NewAgent::new("agent", MODEL, ["read:accounts"]).unwrap())).unwrap().id;
    let p256 = KeySource::Provider(KeyAlgorithm::P256);
    let serial = block_on(tenant.certify(&agent, Profile::Standard, p256)).unwrap().facts.serial;
    // A minute apart, or the agent would lose its identity by being so busy.
    let mut at = NOW;
    let mut events = |count| -> Vec<_> {
        let mut next = |_| {
            let mut event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
            event.target = Some("account-7".parse().unwrap());
            at = at.plus(MINUTE);
            (at, event)
        };
        (0..count).map(&mut next).collect()
    };
    let all_scored =
        |seen: Vec<Observed>| assert!(seen.iter().all(|seen| seen.status == EventStatus::Scored));
    all_scored(uncounted(&tenant, events(MANY)));
    all_scored(counted::events_1000_a_call(&tenant, events(MANY)));
    all_scored(counted::events_one_a_call(&tenant, events(FEW)));
    let page = block_on(tenant.records(None, 1, |_| true)).unwrap();
    counted::seal(&page.items.first().unwrap().record);
}

/// To begin with.
fn uncounted(tenant: &Tenant, events: Vec<(UnixTime, Event)>) -> Vec<Observed> {
    block_on(tenant.replay(events)).unwrap().into_iter().map(Result::unwrap).collect()
}

/// What is counted: each function once, and nothing else.
mod counted {
    use super::*;
    use kakunin_core::id::SystemEntropy;
    use kakunin_verify::possession::{SignedRequest, prove};
    use std::hint::black_box;

    #[inline(never)]
    pub(super) fn floor_rsa_2048(key: &PublicKey, view: &CertificateView<'_>) {
        (0..FEW).for_each(|_| key.verify(view.tbs, view.signature).unwrap());
    }

    #[inline(never)]
    pub(super) fn verify_cold_without_cache(verifiers: &[Verifier], leaf: &[u8]) {
        verifiers.iter().for_each(|verifier| _ = black_box(verifier.check(&[leaf], ACTION, NOW).unwrap()));
    }

    #[inline(never)]
    pub(super) fn verify_cold_with_cache(verifiers: &[Verifier], leaf: &[u8]) {
        // Or it would be the same function as the one above.
        black_box("with a cache");
        verifiers.iter().for_each(|verifier| _ = black_box(verifier.check(&[leaf], ACTION, NOW).unwrap()));
    }

    #[inline(never)]
    pub(super) fn verify_cold_and_kept(verifiers: &[Verifier], leaf: &[u8]) {
        black_box("kept");
        verifiers.iter().for_each(|verifier| _ = black_box(verifier.check(&[leaf], ACTION, NOW).unwrap()));
    }

    #[inline(never)]
    pub(super) fn verify_warm(verifier: &Verifier, leaf: &[u8]) {
        (0..MANY).for_each(|_| _ = black_box(verifier.check(&[leaf], ACTION, NOW).unwrap()));
    }

    #[inline(never)]
    pub(super) fn authorize(agent: &VerifiedAgent) {
        (0..MANY).for_each(|_| _ = black_box(agent.authorize(ACTION, NOW).unwrap()));
    }

    #[inline(never)]
    pub(super) fn possession(
        requests: &[(String, String)],
        agent: &VerifiedAgent,
        us: &Authorities,
        nonces: &Nonces,
    ) {
        for (input, signature) in requests {
            let request = SignedRequest::new("POST", "/payments", input, signature);
            prove(&request, agent, us, NOW).unwrap().spend(nonces, NOW).unwrap();
        }
    }

    #[inline(never)]
    pub(super) fn events_1000_a_call(tenant: &Tenant, events: Vec<(UnixTime, Event)>) -> Vec<Observed> {
        block_on(tenant.replay(events)).unwrap().into_iter().map(Result::unwrap).collect()
    }

    #[inline(never)]
    pub(super) fn events_one_a_call(tenant: &Tenant, events: Vec<(UnixTime, Event)>) -> Vec<Observed> {
        let one = |event| block_on(tenant.replay(vec![event])).unwrap().pop().unwrap().unwrap();
        events.into_iter().map(one).collect()
    }

    #[inline(never)]
    pub(super) fn seal(record: &Record) {
        (0..MANY).for_each(|_| _ = black_box(record.seal(&SystemEntropy).unwrap()));
    }
}
