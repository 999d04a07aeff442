//! Chains for tests, built by hand so that every octet can be wrong.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part of this")]

mod key;
pub mod mutate;
#[cfg(feature = "possession")]
pub mod request;
#[cfg(feature = "tower")]
pub mod site;

use kakunin_core::crypto::Backend;
use kakunin_core::id::{IssuerId, TrustDomain};
use kakunin_core::revoke::RevokedSet;
use kakunin_core::time::{DAY, UnixTime};
use kakunin_core::x509::der::{Reader, Writer};
use kakunin_core::x509::extensions::AgentClaims;
use kakunin_core::x509::oid;
use kakunin_verify::{RevocationHandle, Snapshot, TrustAnchor, Verifier, VerifierBuilder};

pub use key::Key;

/// 2026-11-23T08:00:00Z
pub const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
pub const ACTION: &str = "write:payments";
pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];

pub fn backends() -> Vec<Backend> {
    vec![
        Backend::Portable,
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc,
    ]
}

pub fn domain() -> TrustDomain {
    "agents.example.org".parse().unwrap()
}

/// One maker of keys for each algorithm.
pub const KEYS: [fn() -> Key; 3] = [Key::p256, Key::rsa, Key::ed25519];

pub fn encode(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_bytes()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ext {
    pub oid: Vec<u8>,
    pub critical: bool,
    pub value: Vec<u8>,
}

pub fn ext(oid: &[u8], critical: bool, value: Vec<u8>) -> Ext {
    Ext { oid: oid.to_vec(), critical, value }
}

/// A certificate before it is signed; every part is DER that may be wrong.
#[derive(Clone)]
pub struct Spec {
    pub version: Vec<u8>,
    pub serial: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    pub extensions: Vec<Ext>,
}

impl Spec {
    pub fn tbs(&self) -> Vec<u8> {
        encode(|w| {
            w.sequence(|w| {
                w.nested(0xa0, |w| _ = w.element(0x02, &self.version)).element(0x02, &self.serial);
                w.raw(&self.algorithm).raw(&self.issuer);
                w.sequence(|w| _ = w.raw(&self.not_before).raw(&self.not_after));
                w.raw(&self.subject).raw(&self.spki);
                w.nested(0xa3, |w| {
                    w.sequence(|w| {
                        for e in &self.extensions {
                            w.sequence(|w| {
                                w.oid(&e.oid);
                                if e.critical {
                                    w.element(0x01, &[0xff]);
                                }
                                w.element(0x04, &e.value);
                            });
                        }
                    });
                });
            });
        })
    }

    pub fn sign(&self, key: &Key) -> Vec<u8> {
        assemble(&self.tbs(), &self.algorithm, key)
    }

    pub fn ext(&mut self, oid: &[u8]) -> &mut Ext {
        self.extensions.iter_mut().find(|e| e.oid == oid).unwrap()
    }

    pub fn drop_ext(&mut self, oid: &[u8]) {
        self.extensions.retain(|e| e.oid != oid);
    }
}

pub fn assemble(tbs: &[u8], algorithm: &[u8], key: &Key) -> Vec<u8> {
    encode(|w| _ = w.sequence(|w| _ = w.raw(tbs).raw(algorithm).bit_string(&key.sign(tbs))))
}

pub fn name(common_name: &str) -> Vec<u8> {
    encode(|w| {
        w.sequence(|w| {
            w.nested(0x31, |w| _ = w.sequence(|w| _ = w.oid(oid::COMMON_NAME).utf8(common_name)));
        });
    })
}

pub fn time(t: UnixTime) -> Vec<u8> {
    let c = t.civil();
    let tail = format!("{:02}{:02}{:02}{:02}{:02}Z", c.month, c.day, c.hour, c.minute, c.second);
    match c.year {
        ..2050 => encode(|w| _ = w.element(0x17, format!("{:02}{tail}", c.year % 100).as_bytes())),
        _ => encode(|w| _ = w.element(0x18, format!("{:04}{tail}", c.year).as_bytes())),
    }
}

pub fn key_usage(bits: u8) -> Vec<u8> {
    let unused = u8::try_from(bits.trailing_zeros()).unwrap();
    encode(|w| _ = w.element(0x03, &[unused, bits]))
}

pub fn eku(oids: &[&[u8]]) -> Vec<u8> {
    encode(|w| _ = w.sequence(|w| oids.iter().for_each(|o| _ = w.oid(o))))
}

pub fn san(names: &[(u8, &str)]) -> Vec<u8> {
    encode(|w| _ = w.sequence(|w| names.iter().for_each(|(tag, n)| _ = w.element(*tag, n.as_bytes()))))
}

pub fn authority_key_id(id: &IssuerId) -> Vec<u8> {
    encode(|w| _ = w.sequence(|w| _ = w.element(0x80, id.as_bytes())))
}

pub fn subject_key_id(id: &[u8]) -> Vec<u8> {
    encode(|w| _ = w.element(0x04, id))
}

pub fn ca_constraints(path_len: Option<u8>) -> Vec<u8> {
    encode(|w| {
        w.sequence(|w| {
            w.element(0x01, &[0xff]);
            if let Some(n) = path_len {
                w.unsigned(&[n]);
            }
        });
    })
}

pub struct Ca {
    pub key: Key,
    pub name: Vec<u8>,
}

impl Ca {
    pub fn new(key: Key, cn: &str) -> Self {
        Self { key, name: name(cn) }
    }

    /// The certificate of this authority, by `parent`.
    pub fn spec(&self, parent: &Self, path_len: Option<u8>) -> Spec {
        Spec {
            version: vec![2],
            serial: serial(0x51),
            algorithm: parent.key.algorithm().to_vec(),
            issuer: parent.name.clone(),
            not_before: time(NOW.minus(300 * DAY)),
            not_after: time(NOW.plus(3_000 * DAY)),
            subject: self.name.clone(),
            spki: self.key.spki(),
            extensions: vec![
                ext(oid::BASIC_CONSTRAINTS, true, ca_constraints(path_len)),
                ext(oid::KEY_USAGE, true, key_usage(0x06)),
                ext(oid::SUBJECT_KEY_ID, false, subject_key_id(self.key.id().as_bytes())),
                ext(oid::AUTHORITY_KEY_ID, false, authority_key_id(&parent.key.id())),
            ],
        }
    }
}

pub fn serial(first: u8) -> Vec<u8> {
    let mut serial = vec![7; 16];
    serial[0] = first;
    serial
}

pub fn claims() -> AgentClaims {
    AgentClaims {
        scope: kakunin_core::scope::ScopeSet::parse(["read:accounts/*", "write:payments"]).unwrap(),
        model_hash: format!("sha256:{}", "e3".repeat(32)).parse().unwrap(),
        tenant: "tnt_01".parse().unwrap(),
        environment: "production".parse().unwrap(),
        agent: "01923456-789a-7fff-bfff-ffffffffffff".parse().unwrap(),
        constraints: None,
    }
}

pub const SPIFFE_ID: &str =
    "spiffe://agents.example.org/tenant/tnt_01/env/production/agent/01923456-789a-7fff-bfff-ffffffffffff";

/// The agent extensions as parts, so that single ones can be dropped or spoilt.
pub fn agent_extensions() -> Vec<Ext> {
    let der = encode(|w| claims().write(&oid::Arc::default(), w));
    let mut list = Reader::new(&der);
    let mut out = Vec::new();
    while let Ok(mut e) = list.sequence() {
        let id = e.read(0x06).unwrap();
        out.push(ext(id, false, e.read(0x04).unwrap().to_vec()));
    }
    out
}

/// Root, issuing authority, and a leaf that is right in everything.
pub struct World {
    pub root: Ca,
    pub issuing: Ca,
    pub root_der: Vec<u8>,
    pub issuing_der: Vec<u8>,
    pub leaf_key: Key,
}

impl World {
    pub fn new(issuing: Key, leaf_key: Key) -> Self {
        Self::under(Key::p256(), issuing, leaf_key)
    }

    pub fn under(root: Key, issuing: Key, leaf_key: Key) -> Self {
        let root = Ca::new(root, "test root");
        let issuing = Ca::new(issuing, "test issuing");
        let mut spec = root.spec(&root, None);
        spec.drop_ext(oid::AUTHORITY_KEY_ID);
        let root_der = spec.sign(&root.key);
        let issuing_der = issuing.spec(&root, Some(0)).sign(&root.key);
        Self { root, issuing, root_der, issuing_der, leaf_key }
    }

    pub fn p256() -> Self {
        Self::new(Key::p256(), Key::p256())
    }

    pub fn leaf(&self) -> Spec {
        let mut extensions = vec![
            ext(oid::BASIC_CONSTRAINTS, true, encode(|w| _ = w.sequence(|_| ()))),
            ext(oid::KEY_USAGE, true, key_usage(0x80)),
            ext(oid::EXT_KEY_USAGE, false, eku(&[oid::SERVER_AUTH, oid::CLIENT_AUTH])),
            ext(oid::SUBJECT_KEY_ID, false, subject_key_id(self.leaf_key.id().as_bytes())),
            ext(oid::AUTHORITY_KEY_ID, false, authority_key_id(&self.issuing.key.id())),
            ext(oid::SUBJECT_ALT_NAME, false, san(&[(0x86, SPIFFE_ID)])),
            ext(oid::CRL_DISTRIBUTION_POINTS, false, crl_points("http://pki.example.org/crl/7")),
        ];
        extensions.extend(agent_extensions());
        Spec {
            version: vec![2],
            serial: serial(0x42),
            algorithm: self.issuing.key.algorithm().to_vec(),
            issuer: self.issuing.name.clone(),
            not_before: time(NOW.minus(DAY)),
            not_after: time(NOW.plus(DAY)),
            subject: name("payments agent"),
            spki: self.leaf_key.spki(),
            extensions,
        }
    }

    pub fn leaf_der(&self) -> Vec<u8> {
        self.leaf().sign(&self.issuing.key)
    }

    pub fn anchor(&self) -> TrustAnchor {
        TrustAnchor::new(&self.root_der, domain()).unwrap()
    }

    /// A handle that knows the issuer and nothing revoked, as of [`NOW`].
    pub fn revocations(&self) -> RevocationHandle {
        let handle = RevocationHandle::default();
        handle.publish(Snapshot::new(NOW).with(self.issuing.key.id(), RevokedSet::default()));
        handle
    }

    pub fn builder(&self) -> VerifierBuilder {
        Verifier::builder(self.revocations()).anchor(self.anchor())
    }

    pub fn verifier(&self, backend: Backend) -> Verifier {
        self.builder().issuer(self.issuing_der.clone()).backend(backend).build(NOW).unwrap()
    }
}

pub fn crl_points(uri: &str) -> Vec<u8> {
    encode(|w| {
        w.sequence(|w| {
            w.sequence(|w| {
                w.nested(0xa0, |w| _ = w.nested(0xa0, |w| _ = w.element(0x86, uri.as_bytes())));
            });
        });
    })
}

/// splitmix64: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
}
