//! CRLs of other people's making, most of them wrong in one thing: nothing is taken that rustls-webpki refuses, nor
//! what RFC 5280 forbids beyond that; and what is taken says of every serial number what webpki says.
#![cfg(feature = "crl")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use kakunin_core::id::{SerialNumber, hex_encode};
use kakunin_core::time::{HOUR, MINUTE, SECOND};
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::{CrlRefused, CrlView};
use kakunin_core::x509::oid;
use kakunin_verify::Snapshot;
use kakunin_verify::revocation::{RevocationView, Status};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

const MUTANTS: usize = 20_000;
const HOLD_INSTRUCTION: &[u8] = &[0x55, 0x1d, 23];
const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];

/// A CRL before it is signed; every part is DER that may be wrong.
#[derive(Clone)]
struct Crl {
    version: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    this_update: Vec<u8>,
    next_update: Vec<u8>,
    /// `None` for no list at all.
    entries: Option<Vec<Entry>>,
    extensions: Vec<Ext>,
    /// After everything else in the signed part.
    tail: Vec<u8>,
}

#[derive(Clone)]
struct Entry {
    /// Content of the INTEGER.
    serial: Vec<u8>,
    at: Vec<u8>,
    extensions: Vec<Ext>,
}

fn entry(serial: &[u8], extensions: Vec<Ext>) -> Entry {
    Entry { serial: serial.to_vec(), at: time(NOW.minus(HOUR)), extensions }
}

fn enumerated(code: u8) -> Vec<u8> {
    vec![0x0a, 1, code]
}

fn reason(code: u8) -> Vec<Ext> {
    vec![ext(oid::REASON_CODE, false, enumerated(code))]
}

fn integer(content: &[u8]) -> Vec<u8> {
    encode(|w| _ = w.element(0x02, content))
}

fn generalized(text: &str) -> Vec<u8> {
    encode(|w| _ = w.element(0x18, text.as_bytes()))
}

/// Names a directory entry, as certificateIssuer does.
fn somebody() -> Vec<u8> {
    encode(|w| _ = w.sequence(|w| _ = w.nested(0xa4, |w| _ = w.raw(&name("somebody else")))))
}

fn point(rest: &[u8]) -> Vec<u8> {
    encode(|w| {
        w.sequence(|w| {
            w.nested(0xa0, |w| _ = w.nested(0xa0, |w| _ = w.element(0x86, b"http://pki.example.org/crl/7")));
            w.raw(rest);
        });
    })
}

fn extensions(w: &mut kakunin_core::x509::der::Writer, all: &[Ext]) {
    w.sequence(|w| {
        for e in all {
            w.sequence(|w| {
                w.oid(&e.oid);
                if e.critical {
                    w.element(0x01, &[0xff]);
                }
                w.element(0x04, &e.value);
            });
        }
    });
}

impl Crl {
    fn by(ca: &Ca) -> Self {
        Self {
            version: vec![1],
            algorithm: ca.key.algorithm().to_vec(),
            issuer: ca.name.clone(),
            this_update: time(NOW.minus(5 * MINUTE)),
            next_update: time(NOW.plus(HOUR)),
            entries: Some(vec![
                entry(&serial(0x42), reason(1)),
                entry(&[5], vec![]),
                entry(&[0x7f; 20], reason(6)),
            ]),
            extensions: vec![
                ext(oid::AUTHORITY_KEY_ID, false, authority_key_id(&ca.key.id())),
                ext(oid::CRL_NUMBER, false, integer(&[9])),
            ],
            tail: Vec::new(),
        }
    }

    fn tbs(&self) -> Vec<u8> {
        encode(|w| {
            w.sequence(|w| {
                w.element(0x02, &self.version).raw(&self.algorithm).raw(&self.issuer);
                w.raw(&self.this_update).raw(&self.next_update);
                if let Some(entries) = &self.entries {
                    w.sequence(|w| {
                        for e in entries {
                            w.sequence(|w| {
                                w.element(0x02, &e.serial).raw(&e.at);
                                if !e.extensions.is_empty() {
                                    extensions(w, &e.extensions);
                                }
                            });
                        }
                    });
                }
                w.nested(0xa0, |w| extensions(w, &self.extensions)).raw(&self.tail);
            });
        })
    }

    fn sign(&self, key: &Key) -> Vec<u8> {
        assemble(&self.tbs(), &self.algorithm, key)
    }

    fn first(&mut self) -> &mut Entry {
        &mut self.entries.as_mut().unwrap()[0]
    }
}

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

type Spoil = fn(&mut Crl);

/// Good ones, though odd.
const GOOD: &[(&str, Spoil)] = &[
    ("as it is", |_| ()),
    ("nothing revoked", |c| c.entries = None),
    ("serial of one octet", |c| c.first().serial = vec![1]),
    ("serial with a sign octet", |c| c.first().serial = vec![0, 0x80]),
    ("serial of twenty octets", |c| c.first().serial = vec![0x55; 20]),
    ("unspecified, spelled out", |c| c.first().extensions = reason(0)),
    ("invalidity date", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, generalized("20250101000000Z")));
    }),
    ("hold instruction", |c| {
        c.first().extensions.push(ext(HOLD_INSTRUCTION, false, vec![0x06, 1, 0x2a]));
    }),
    ("private extension", |c| c.extensions.push(ext(&[0x2a, 3, 4], false, vec![5, 0]))),
    ("freshest CRL", |c| c.extensions.push(ext(FRESHEST_CRL, false, crl_points("http://x.example/d")))),
    ("number zero", |c| c.extensions[1].value = integer(&[0])),
    ("until 2050", |c| c.next_update = generalized("20500101000000Z")),
];

/// Bad ones: RFC 5280 forbids each, or it is of a kind that is not for us.
const BAD: &[(&str, Spoil)] = &[
    ("version 1", |c| c.version = vec![0]),
    ("version 3", |c| c.version = vec![2]),
    ("another issuer", |c| c.issuer = name("another")),
    ("fraction in thisUpdate", |c| c.this_update = generalized("20261123075500.5Z")),
    ("thisUpdate as GeneralizedTime", |c| c.this_update = generalized("20261123075500Z")),
    ("thisUpdate with an offset", |c| c.this_update = encode(|w| _ = w.element(0x17, b"261123075500+0000"))),
    ("thisUpdate without seconds", |c| c.this_update = encode(|w| _ = w.element(0x17, b"2611230755Z"))),
    ("thisUpdate that is no date", |c| c.this_update = encode(|w| _ = w.element(0x17, b"261323075500Z"))),
    ("thisUpdate of an hour from now", |c| {
        c.this_update = time(NOW.plus(HOUR));
        c.next_update = time(NOW.plus(2 * HOUR));
    }),
    ("no nextUpdate", |c| c.next_update = Vec::new()),
    ("over", |c| c.next_update = time(NOW.minus(SECOND))),
    ("over at this moment", |c| c.next_update = time(NOW)),
    ("nextUpdate before thisUpdate", |c| c.this_update = time(NOW.plus(2 * HOUR))),
    ("fraction in nextUpdate", |c| c.next_update = generalized("20500101000000.5Z")),
    ("empty list", |c| c.entries = Some(Vec::new())),
    ("twice the same serial", |c| {
        c.entries.as_mut().unwrap().push(entry(&serial(0x42), reason(6)));
    }),
    ("twice the same serial, once with a sign octet too many", |c| {
        c.entries.as_mut().unwrap().push(entry(&[0, 5], vec![]));
    }),
    ("serial zero", |c| c.first().serial = vec![0]),
    ("negative serial", |c| c.first().serial = vec![0x80]),
    ("empty serial", |c| c.first().serial = Vec::new()),
    ("padded serial", |c| c.first().serial = vec![0, 1]),
    ("serial of 21 octets", |c| c.first().serial = vec![1; 21]),
    ("serial of 20 octets and a sign octet", |c| c.first().serial = [&[0][..], &[0x80; 20]].concat()),
    ("no revocation date", |c| c.first().at = Vec::new()),
    ("fraction in a revocation date", |c| c.first().at = generalized("20500101000000.5Z")),
    ("revocation date as GeneralizedTime", |c| c.first().at = generalized("20261123065500Z")),
    ("reason twice", |c| c.first().extensions = [reason(1), reason(6)].concat()),
    ("reason twice, the same", |c| c.first().extensions = [reason(1), reason(1)].concat()),
    ("reason 7", |c| c.first().extensions = reason(7)),
    ("reason 11", |c| c.first().extensions = reason(11)),
    ("reason 255", |c| c.first().extensions = reason(255)),
    ("removed from a CRL that is no delta", |c| c.first().extensions = reason(8)),
    ("reason as INTEGER", |c| c.first().extensions[0].value = integer(&[1])),
    ("reason of two octets", |c| c.first().extensions[0].value = vec![0x0a, 2, 0, 1]),
    ("reason with a tail", |c| c.first().extensions[0].value.push(0)),
    ("fraction in an invalidity date", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, generalized("20250101000000.5Z")));
    }),
    ("invalidity date without Z", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, generalized("20250101000000")));
    }),
    ("invalidity date as UTCTime", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, time(NOW)));
    }),
    ("invalidity date twice", |c| {
        let date = ext(oid::INVALIDITY_DATE, false, generalized("20250101000000Z"));
        c.first().extensions.extend([date.clone(), date]);
    }),
    ("certificate issuer", |c| c.first().extensions.push(ext(oid::CERTIFICATE_ISSUER, false, somebody()))),
    ("critical certificate issuer", |c| {
        c.first().extensions.push(ext(oid::CERTIFICATE_ISSUER, true, somebody()));
    }),
    ("unknown critical extension of an entry", |c| {
        c.first().extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))
    }),
    ("unknown critical extension", |c| c.extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))),
    ("delta", |c| c.extensions.push(ext(oid::DELTA_CRL_INDICATOR, true, integer(&[3])))),
    ("delta that does not say so loudly", |c| {
        c.extensions.push(ext(oid::DELTA_CRL_INDICATOR, false, integer(&[3])));
    }),
    ("no number", |c| c.extensions.retain(|e| e.oid != oid::CRL_NUMBER)),
    ("critical number", |c| c.extensions[1].critical = true),
    ("negative number", |c| c.extensions[1].value = integer(&[0x80])),
    ("number of 21 octets", |c| c.extensions[1].value = integer(&[1; 21])),
    ("number twice", |c| c.extensions.push(ext(oid::CRL_NUMBER, false, integer(&[9])))),
    ("private extension twice", |c| {
        c.extensions.extend([1, 2].map(|n| ext(&[0x2a, 3, 4], false, vec![4, 1, n])));
    }),
    ("no authority key id", |c| c.extensions.retain(|e| e.oid != oid::AUTHORITY_KEY_ID)),
    ("authority key id of another", |c| {
        c.extensions[0].value = authority_key_id(&kakunin_core::id::IssuerId::from_bytes([1; 20]));
    }),
    ("no extensions", |c| c.extensions = Vec::new()),
    ("issuing distribution point", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x81, 1, 0xff])));
    }),
    ("issuing distribution point that is not critical", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, false, point(&[])));
    }),
    ("indirect", |c| c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x84, 1, 0xff])))),
    ("some reasons", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x83, 2, 6, 0x40])));
    }),
    ("attribute certificates", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x85, 1, 0xff])));
    }),
    ("empty issuing distribution point", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, vec![0x30, 0]));
    }),
    ("a tail in the signed part", |c| c.tail = vec![5, 0]),
    ("another algorithm inside", |c| c.algorithm = oid::SHA256_WITH_RSA_IDENTIFIER.to_vec()),
];

#[test]
fn each_rule_of_rfc_5280_is_enforced() {
    let site = Site::new();
    for (what, spoil) in GOOD {
        let mut crl = Crl::by(&site.world.issuing);
        spoil(&mut crl);
        assert_eq!(site.compare(what, &crl.sign(&site.world.issuing.key)), (true, true), "{what}");
    }
    for (what, spoil) in BAD {
        let mut crl = Crl::by(&site.world.issuing);
        spoil(&mut crl);
        let (ours, theirs) = site.compare(what, &crl.sign(&site.world.issuing.key));
        println!("{what:50} webpki takes it: {theirs}");
        assert!(!ours, "{what}");
    }
}

#[test]
fn the_envelope_is_der_and_signed_by_the_issuer_with_its_one_algorithm() {
    let site = Site::new();
    let (crl, key) = (Crl::by(&site.world.issuing), &site.world.issuing.key);
    let (tbs, good) = (crl.tbs(), crl.sign(key));
    let with = |algorithm: &[u8], signature: &[u8]| {
        encode(|w| _ = w.sequence(|w| _ = w.raw(&tbs).raw(algorithm).bit_string(signature)))
    };
    let params =
        encode(|w| _ = w.sequence(|w| _ = w.raw(&oid::ECDSA_WITH_SHA256_IDENTIFIER[2..]).raw(&[5, 0])));
    let mut long = good.clone();
    long.splice(1..2, [0x83, 0]);
    let cases = [
        ("somebody else's signature", crl.sign(&Key::fixed(11))),
        ("another algorithm outside", with(oid::SHA256_WITH_RSA_IDENTIFIER, &key.sign(&tbs))),
        ("parameters", with(&params, &key.sign(&tbs))),
        ("no signature", with(&crl.algorithm, &[])),
        ("a tail", [&good[..], &[0]].concat()),
        ("a length that is not DER", long),
        ("indefinite length", [&[0x30, 0x80], &good[4..], &[0, 0]].concat()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("empty", Vec::new()),
    ];
    for (what, der) in cases {
        assert!(!site.compare(what, &der).0, "{what}");
    }
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

#[test]
fn nothing_is_taken_that_webpki_refuses() {
    let site = Site::new();
    let key = &site.world.issuing.key;
    let mut random = Random(5_280);
    let mut counts: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    let rules: Vec<_> = GOOD.iter().chain(BAD).collect();
    for n in 0..MUTANTS {
        let mut crl = Crl::by(&site.world.issuing);
        // Odd in one or two things, then perhaps an octet of the signed part.
        let mut what = Vec::new();
        for _ in 0..random.below(3) {
            let (name, spoil) = rules[random.below(rules.len())];
            if crl.entries.as_ref().is_some_and(|e| !e.is_empty())
                && crl.extensions.len() > 1
                && !crl.first().extensions.is_empty()
            {
                spoil(&mut crl);
                what.push(*name);
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
        let der = assemble(&tbs, &crl.algorithm, key);
        *counts.entry(site.compare(&format!("{n} {what:?}"), &der)).or_default() += 1;
    }
    println!("(ours, webpki): {counts:?}");
    assert!(counts[&(true, true)] > 1_000 && counts[&(false, false)] > 1_000, "{counts:?}");
}
