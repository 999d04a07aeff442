//! CRLs of other people's making, most of them wrong in one thing: nothing is taken that rustls-webpki refuses, nor
//! what RFC 5280 forbids beyond that; and what is taken says of every serial number what webpki says.
#![cfg(feature = "crl")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod odd;
mod others;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use kakunin_core::id::{SerialNumber, hex_encode};
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::{CrlRefused, CrlView};
use kakunin_core::x509::oid;
use kakunin_verify::Snapshot;
use kakunin_verify::revocation::{RevocationView, Status};
use odd::{BAD, Crl, GOOD};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

const MUTANTS: usize = 20_000;

/// What both are asked about.
struct Site {
    world: World,
    issuer: Issuer,
}

impl Site {
    fn new() -> Self {
        let world = World::under(Key::fixed(7), Key::fixed(8), Key::fixed(9));
        let issuer = Issuer::from_der(world.issuing_der.clone()).unwrap();
        Self { world, issuer }
    }

    fn ours(&self, crl: &[u8]) -> Option<Snapshot> {
        Snapshot::from_crl(&self.issuer, crl, NOW).ok()
    }

    /// What webpki says of a leaf with this serial number: `None` if it does not take the CRL.
    fn webpki(&self, crl: &[u8], serial: &[u8]) -> Option<bool> {
        let crl: CertRevocationList<'_> = OwnedCertRevocationList::from_der(crl).ok()?.into();
        let mut leaf = self.world.leaf();
        leaf.serial = serial.to_vec();
        // Its CRL is the full one.
        leaf.drop_ext(oid::CRL_DISTRIBUTION_POINTS);
        let leaf = CertificateDer::from(leaf.sign(&self.world.issuing.key));
        let root = CertificateDer::from(self.world.root_der.as_slice());
        let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
        let issuing = [CertificateDer::from(self.world.issuing_der.as_slice())];
        let crls = [&crl];
        let revocation = RevocationOptionsBuilder::new(&crls)
            .unwrap()
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build();
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let verified = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &issuing,
            UnixTime::since_unix_epoch(Duration::from_secs(NOW.secs())),
            KeyUsage::client_auth(),
            Some(revocation),
            None,
        );
        match verified {
            Ok(_) => Some(true),
            Err(webpki::Error::CertRevoked) => Some(false),
            Err(_) => None,
        }
    }

    /// Fails if ours takes what webpki does not, or says otherwise. Says what each did.
    fn compare(&self, what: &str, crl: &[u8]) -> (bool, bool) {
        let ours = self.ours(crl);
        let good = serial(0x33);
        let theirs = self.webpki(crl, &good);
        if let Some(view) = &ours {
            assert!(theirs.is_some(), "only ours takes it: {what}: {}", hex_encode(crl));
            let on: Vec<_> = CrlView::parse(crl).unwrap().serials().collect();
            for serial in on.iter().take(3) {
                let content = Some(serial.digits()).filter(|d| d[0] < 0x80);
                let Some(content) = content else { continue };
                assert_eq!(self.webpki(crl, content), Some(false), "{what}: {serial}");
                let (status, _) = view.status(&self.issuer.id(), serial, NOW);
                assert!(matches!(status, Status::Revoked(_)), "{what}: {serial}");
            }
            let good = SerialNumber::from_der_integer(&good).unwrap();
            let (status, _) = view.status(&self.issuer.id(), &good, NOW);
            assert_eq!(status == Status::Good, theirs == Some(true), "{what}");
        }
        (ours.is_some(), theirs.is_some())
    }
}

#[test]
fn each_rule_of_rfc_5280_is_enforced() {
    let site = Site::new();
    for (what, spoil) in GOOD {
        let mut crl = Crl::by(&site.world.issuing);
        spoil(&mut crl);
        assert_eq!(site.compare(what, &crl.sign(&site.world.issuing.key)), (true, true), "{what}");
    }
    for (what, _, spoil) in BAD {
        let mut crl = Crl::by(&site.world.issuing);
        spoil(&mut crl);
        let (ours, theirs) = site.compare(what, &crl.sign(&site.world.issuing.key));
        println!("{what:50} webpki takes it: {theirs}");
        assert!(!ours, "{what}");
    }
}

/// Good CRLs in an envelope that is wrong, and who takes them.
fn envelopes(site: &Site) -> [(&'static str, &'static str, Vec<u8>); 9] {
    let (crl, key) = (Crl::by(&site.world.issuing), &site.world.issuing.key);
    let (tbs, good) = (crl.tbs(), crl.sign(key));
    let with = |algorithm: &[u8], signature: &[u8]| {
        encode(|w| _ = w.sequence(|w| _ = w.raw(&tbs).raw(algorithm).bit_string(signature)))
    };
    let params =
        encode(|w| _ = w.sequence(|w| _ = w.raw(&oid::ECDSA_WITH_SHA256_IDENTIFIER[2..]).raw(&[5, 0])));
    let mut long = good.clone();
    long.splice(1..2, [0x83, 0]);
    [
        ("somebody else's signature", "", crl.sign(&Key::fixed(11))),
        ("another algorithm outside", "", with(oid::SHA256_WITH_RSA_IDENTIFIER, &key.sign(&tbs))),
        ("parameters", "OGN", with(&params, &key.sign(&tbs))),
        ("no signature", "", with(&crl.algorithm, &[])),
        ("a tail", "O", [&good[..], &[0]].concat()),
        ("a length that is not DER", "OG", long),
        ("indefinite length", "O", [&[0x30, 0x80], &good[4..], &[0, 0]].concat()),
        ("cut", "", good[..good.len() - 1].to_vec()),
        ("empty", "", Vec::new()),
    ]
}

#[test]
fn the_envelope_is_der_and_signed_by_the_issuer_with_its_one_algorithm() {
    let site = Site::new();
    for (what, _, der) in envelopes(&site) {
        assert!(!site.compare(what, &der).0, "{what}");
    }
    let good = Crl::by(&site.world.issuing).sign(&site.world.issuing.key);
    assert_eq!(site.compare("good", &good), (true, true));
}

#[test]
fn a_ca_that_may_not_sign_crls_is_not_believed() {
    let mut site = Site::new();
    let spec = |spoil: fn(&mut Spec), world: &World| {
        let mut spec = world.issuing.spec(&world.root, Some(0));
        spoil(&mut spec);
        spec.sign(&world.root.key)
    };
    let crl = Crl::by(&site.world.issuing).sign(&site.world.issuing.key);
    for bits in [0x04, 0x84] {
        let mut certificate = site.world.issuing.spec(&site.world.root, Some(0));
        certificate.ext(oid::KEY_USAGE).value = key_usage(bits);
        let issuer = Issuer::from_der(certificate.sign(&site.world.root.key)).unwrap();
        assert_eq!(Snapshot::from_crl(&issuer, &crl, NOW).unwrap_err(), CrlRefused::Usage, "{bits:x}");
    }
    // "If a key usage extension is present" (6.3.3 (f)).
    site.world.issuing_der = spec(|s| s.drop_ext(oid::KEY_USAGE), &site.world);
    site.issuer = Issuer::from_der(site.world.issuing_der.clone()).unwrap();
    assert_eq!(site.compare("no key usage", &crl), (true, true));
    let unknown = spec(|s| s.extensions.push(ext(&[0x2a, 3], true, vec![5, 0])), &site.world);
    assert!(Issuer::from_der(unknown).is_err());
    // Somebody else's CA names itself by another key identifier, or by none; its CRLs are as good.
    for (id, named) in
        [(Some(vec![1; 20]), vec![1; 20]), (None, site.world.issuing.key.id().as_bytes().to_vec())]
    {
        let mut spec = site.world.issuing.spec(&site.world.root, Some(0));
        match id {
            Some(id) => spec.ext(oid::SUBJECT_KEY_ID).value = subject_key_id(&id),
            None => spec.drop_ext(oid::SUBJECT_KEY_ID),
        }
        site.world.issuing_der = spec.sign(&site.world.root.key);
        site.issuer = Issuer::from_der(site.world.issuing_der.clone()).unwrap();
        let mut crl = Crl::by(&site.world.issuing);
        crl.extensions[0].value = encode(|w| _ = w.sequence(|w| _ = w.element(0x80, &named)));
        assert_eq!(site.compare("foreign", &crl.sign(&site.world.issuing.key)), (true, true));
    }
}

/// A CRL that is odd in one or two things, or in some octets of the signed part, and what was done to it.
fn mutant(site: &Site, random: &mut Random) -> (Vec<&'static str>, Vec<u8>) {
    let (mut crl, mut what) = (Crl::by(&site.world.issuing), Vec::new());
    let bad = BAD.iter().map(|(name, _, spoil)| (*name, *spoil));
    let rules: Vec<_> = GOOD.iter().copied().chain(bad).collect();
    for _ in 0..random.below(3) {
        let (name, spoil) = rules[random.below(rules.len())];
        if crl.entries.as_ref().is_some_and(|e| !e.is_empty())
            && crl.extensions.len() > 1
            && !crl.first().extensions.is_empty()
        {
            spoil(&mut crl);
            what.push(name);
        }
    }
    let mut tbs = crl.tbs();
    for _ in 0..random.below(3) {
        let at = random.below(tbs.len());
        tbs[at] = match random.below(3) {
            0 => tbs[at] ^ (1 << random.below(8)),
            1 => u8::try_from(random.below(256)).unwrap(),
            _ => [0, 0x7f, 0x80, 0xff][random.below(4)],
        };
    }
    (what, assemble(&tbs, &crl.algorithm, &site.world.issuing.key))
}

#[test]
fn nothing_is_taken_that_webpki_refuses() {
    let site = Site::new();
    let mut random = Random(5_280);
    let mut counts: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    for n in 0..MUTANTS {
        let (what, der) = mutant(&site, &mut random);
        *counts.entry(site.compare(&format!("{n} {what:?}"), &der)).or_default() += 1;
    }
    println!("(ours, webpki): {counts:?}");
    assert!(counts[&(true, true)] > 1_000 && counts[&(false, false)] > 1_000, "{counts:?}");
}
