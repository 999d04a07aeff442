//! Deployments, and a root that is elsewhere.

use std::process::Command;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::revoke::Reason;
use kakunin_core::service::{Kakunin, KeySource, OfflineRoot, Parts, Reader};
use kakunin_core::time::ManualClock;
use kakunin_core::x509::ca::{Issuer, sign_issuing, sign_root};
use kakunin_core::x509::csr::Proven;
use kakunin_core::x509::{oid, pem};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

pub(crate) use crate::common::{MODEL, NOW, config};

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
    pub(crate) other: TenantId,
}

pub(crate) fn parts() -> (Parts, Arc<ManualClock>) {
    crate::common::parts(LocalKeys::ephemeral())
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let tenants: [TenantId; 2] = ["acme".parse().unwrap(), "other".parse().unwrap()];
    tenants.iter().for_each(|tenant| drop(block_on(kakunin.create_tenant(tenant)).unwrap()));
    let [acme, other] = tenants;
    World { kakunin, parts, clock, acme, other }
}

pub(crate) fn issue(kakunin: &Kakunin, tenant: &TenantId) -> Certificate {
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.tenant(tenant).register(spec)).unwrap().id;
    let source = KeySource::Provider(KeyAlgorithm::P256);
    block_on(kakunin.tenant(tenant).certify(&agent, Profile::Standard, source)).unwrap()
}

/// What openssl says to a certificate, given the roots, the issuing CAs and the full CRLs of all of them.
pub(crate) fn openssl(kakunin: &Kakunin, leaf: &Certificate) -> String {
    let dir = tempfile::tempdir().unwrap();
    let all =
        |label, ders: Vec<Vec<u8>>| -> String { ders.iter().map(|der| pem::encode(label, der)).collect() };
    let roots = kakunin.roots().iter().map(|ca| ca.as_der().to_vec()).collect();
    let authorities = kakunin.authorities();
    let issuing = authorities.iter().map(|ca| ca.issuer.as_der().to_vec()).collect();
    let crls =
        block_on(kakunin.chain_crls(Reader::Deployment)).unwrap().iter().map(|crl| crl.der.clone()).collect();
    for (name, text) in [
        ("roots", all(pem::CERTIFICATE, roots)),
        ("issuing", all(pem::CERTIFICATE, issuing)),
        ("crls", all(pem::CRL, crls)),
        ("leaf", all(pem::CERTIFICATE, vec![leaf.der.clone()])),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let at = NOW.secs().to_string();
    let arguments =
        ["verify", "-x509_strict", "-CAfile", "roots", "-untrusted", "issuing", "-CRLfile", "crls"];
    let done = Command::new("openssl")
        .args(arguments)
        .args(["-crl_check", "-attime", &at, "leaf"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

pub(crate) fn reason(kakunin: &Kakunin, leaf: &Certificate) -> Option<Reason> {
    kakunin.revocations().reason(&leaf.facts.issuer, &leaf.facts.serial).unwrap()
}

/// The serial number of what [`Elsewhere`] signs.
pub(crate) fn below() -> Serial {
    Serial::from_bytes([0x21; 16]).unwrap()
}

/// A root on another machine.
pub(crate) struct Elsewhere {
    pub(crate) root: Issuer,
    pub(crate) key: Arc<dyn Signer>,
}

impl Elsewhere {
    pub(crate) fn new(n: u8) -> Self {
        let keys = LocalKeys::ephemeral();
        let key = block_on(keys.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(keys.open(&key)).unwrap();
        let root = block_on(sign_root(&*key, &Serial::from_bytes([n; 16]).unwrap(), None, NOW)).unwrap();
        Self { root, key }
    }

    pub(crate) fn sign(&self, request: &[u8]) -> OfflineRoot {
        self.sign_for(None, request)
    }

    pub(crate) fn sign_for(&self, tenant: Option<&TenantId>, request: &[u8]) -> OfflineRoot {
        self.sign_as(tenant, request, 0x21)
    }

    pub(crate) fn sign_as(&self, tenant: Option<&TenantId>, request: &[u8], serial: u8) -> OfflineRoot {
        let (request, arc) = (Proven::read(request).unwrap(), oid::Arc::default());
        let serial = Serial::from_bytes([serial; 16]).unwrap();
        let (binding, published) = (tenant.map(|tenant| (tenant, &arc)), request.published.as_ref());
        let issuing = sign_issuing(&self.root, &*self.key, &request.key, &serial, binding, published, NOW);
        let issuing = block_on(issuing).unwrap();
        OfflineRoot { root: self.root.as_der().to_vec(), issuing: issuing.as_der().to_vec() }
    }
}
