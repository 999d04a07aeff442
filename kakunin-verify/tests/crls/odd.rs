//! CRLs by hand, most of them wrong in one thing.

use kakunin_core::id::IssuerId;
use kakunin_core::time::{HOUR, MINUTE, SECOND};
use kakunin_core::x509::der::Writer;
use kakunin_core::x509::oid;

use super::common::*;

const HOLD_INSTRUCTION: &[u8] = &[0x55, 0x1d, 23];
const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];

/// A CRL before it is signed; every part is DER that may be wrong.
#[derive(Clone)]
pub(super) struct Crl {
    pub(super) version: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) this_update: Vec<u8>,
    pub(super) next_update: Vec<u8>,
    /// `None` for no list at all.
    pub(super) entries: Option<Vec<Entry>>,
    pub(super) extensions: Vec<Ext>,
    /// After everything else in the signed part.
    pub(super) tail: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Entry {
    /// Content of the INTEGER.
    pub(super) serial: Vec<u8>,
    pub(super) at: Vec<u8>,
    pub(super) extensions: Vec<Ext>,
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

fn extensions(w: &mut Writer, all: &[Ext]) {
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
    pub(super) fn by(ca: &Ca) -> Self {
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

    pub(super) fn tbs(&self) -> Vec<u8> {
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

    pub(super) fn sign(&self, key: &Key) -> Vec<u8> {
        assemble(&self.tbs(), &self.algorithm, key)
    }

    pub(super) fn first(&mut self) -> &mut Entry {
        &mut self.entries.as_mut().unwrap()[0]
    }
}

pub(super) type Spoil = fn(&mut Crl);

/// Good ones, though odd.
pub(super) const GOOD: &[(&str, Spoil)] = &[
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

/// Bad ones: RFC 5280 forbids each, or it is of a kind that is not for us. Beside each who takes it at the most:
/// O(penSSL), G(nuTLS), N(SS).
pub(super) const BAD: &[(&str, &str, Spoil)] = &[
    ("version 1", "OGN", |c| c.version = vec![0]),
    ("version 3", "OG", |c| c.version = vec![2]),
    ("another issuer", "", |c| c.issuer = name("another")),
    ("fraction in thisUpdate", "GN", |c| c.this_update = generalized("20261123075500.5Z")),
    ("thisUpdate as GeneralizedTime", "OGN", |c| c.this_update = generalized("20261123075500Z")),
    ("thisUpdate with an offset", "N", |c| {
        c.this_update = encode(|w| _ = w.element(0x17, b"261123075500+0000"))
    }),
    ("thisUpdate without seconds", "GN", |c| c.this_update = encode(|w| _ = w.element(0x17, b"2611230755Z"))),
    ("thisUpdate that is no date", "GN", |c| {
        c.this_update = encode(|w| _ = w.element(0x17, b"261323075500Z"))
    }),
    ("thisUpdate of an hour from now", "N", |c| {
        c.this_update = time(NOW.plus(HOUR));
        c.next_update = time(NOW.plus(2 * HOUR));
    }),
    ("no nextUpdate", "OGN", |c| c.next_update = Vec::new()),
    ("over", "N", |c| c.next_update = time(NOW.minus(SECOND))),
    ("over at this moment", "GN", |c| c.next_update = time(NOW)),
    ("nextUpdate before thisUpdate", "N", |c| c.this_update = time(NOW.plus(2 * HOUR))),
    ("fraction in nextUpdate", "GN", |c| c.next_update = generalized("20500101000000.5Z")),
    ("empty list", "OGN", |c| c.entries = Some(Vec::new())),
    ("twice the same serial", "OGN", |c| {
        c.entries.as_mut().unwrap().push(entry(&serial(0x42), reason(6)));
    }),
    ("twice the same serial, once with a sign octet too many", "GN", |c| {
        c.entries.as_mut().unwrap().push(entry(&[0, 5], vec![]));
    }),
    ("serial zero", "OGN", |c| c.first().serial = vec![0]),
    ("negative serial", "OGN", |c| c.first().serial = vec![0x80]),
    ("empty serial", "G", |c| c.first().serial = Vec::new()),
    ("padded serial", "GN", |c| c.first().serial = vec![0, 1]),
    ("serial of 21 octets", "OGN", |c| c.first().serial = vec![1; 21]),
    ("serial of 20 octets and a sign octet", "OGN", |c| c.first().serial = [&[0][..], &[0x80; 20]].concat()),
    ("no revocation date", "", |c| c.first().at = Vec::new()),
    ("fraction in a revocation date", "OGN", |c| c.first().at = generalized("20500101000000.5Z")),
    ("revocation date as GeneralizedTime", "OGN", |c| c.first().at = generalized("20261123065500Z")),
    ("reason twice", "OGN", |c| c.first().extensions = [reason(1), reason(6)].concat()),
    ("reason twice, the same", "OGN", |c| c.first().extensions = [reason(1), reason(1)].concat()),
    ("reason 7", "OGN", |c| c.first().extensions = reason(7)),
    ("reason 11", "OGN", |c| c.first().extensions = reason(11)),
    ("reason 255", "OGN", |c| c.first().extensions = reason(255)),
    ("removed from a CRL that is no delta", "OGN", |c| c.first().extensions = reason(8)),
    ("reason as INTEGER", "OGN", |c| c.first().extensions[0].value = integer(&[1])),
    ("reason of two octets", "OGN", |c| c.first().extensions[0].value = vec![0x0a, 2, 0, 1]),
    ("reason with a tail", "OGN", |c| c.first().extensions[0].value.push(0)),
    ("fraction in an invalidity date", "OGN", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, generalized("20250101000000.5Z")));
    }),
    ("invalidity date without Z", "OGN", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, generalized("20250101000000")));
    }),
    ("invalidity date as UTCTime", "OGN", |c| {
        c.first().extensions.push(ext(oid::INVALIDITY_DATE, false, time(NOW)));
    }),
    ("invalidity date twice", "OGN", |c| {
        let date = ext(oid::INVALIDITY_DATE, false, generalized("20250101000000Z"));
        c.first().extensions.extend([date.clone(), date]);
    }),
    ("certificate issuer", "OGN", |c| {
        c.first().extensions.push(ext(oid::CERTIFICATE_ISSUER, false, somebody()))
    }),
    ("critical certificate issuer", "OG", |c| {
        c.first().extensions.push(ext(oid::CERTIFICATE_ISSUER, true, somebody()));
    }),
    ("unknown critical extension of an entry", "G", |c| {
        c.first().extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))
    }),
    ("unknown critical extension", "G", |c| c.extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))),
    ("delta", "OG", |c| c.extensions.push(ext(oid::DELTA_CRL_INDICATOR, true, integer(&[3])))),
    ("delta that does not say so loudly", "OGN", |c| {
        c.extensions.push(ext(oid::DELTA_CRL_INDICATOR, false, integer(&[3])));
    }),
    ("no number", "OGN", |c| c.extensions.retain(|e| e.oid != oid::CRL_NUMBER)),
    ("critical number", "GN", |c| c.extensions[1].critical = true),
    ("negative number", "OGN", |c| c.extensions[1].value = integer(&[0x80])),
    ("number of 21 octets", "OGN", |c| c.extensions[1].value = integer(&[1; 21])),
    ("number twice", "OGN", |c| c.extensions.push(ext(oid::CRL_NUMBER, false, integer(&[9])))),
    ("private extension twice", "OGN", |c| {
        c.extensions.extend([1, 2].map(|n| ext(&[0x2a, 3, 4], false, vec![4, 1, n])));
    }),
    ("no authority key id", "OGN", |c| c.extensions.retain(|e| e.oid != oid::AUTHORITY_KEY_ID)),
    ("authority key id of another", "GN", |c| {
        c.extensions[0].value = authority_key_id(&IssuerId::from_bytes([1; 20]));
    }),
    ("no extensions", "OGN", |c| c.extensions = Vec::new()),
    ("issuing distribution point", "G", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x81, 1, 0xff])));
    }),
    ("issuing distribution point that is not critical", "GN", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, false, point(&[])));
    }),
    ("indirect", "G", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x84, 1, 0xff])))
    }),
    ("some reasons", "G", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x83, 2, 6, 0x40])));
    }),
    ("attribute certificates", "G", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, point(&[0x85, 1, 0xff])));
    }),
    ("empty issuing distribution point", "OG", |c| {
        c.extensions.push(ext(oid::ISSUING_DISTRIBUTION_POINT, true, vec![0x30, 0]));
    }),
    ("a tail in the signed part", "", |c| c.tail = vec![5, 0]),
    ("another algorithm inside", "", |c| c.algorithm = oid::SHA256_WITH_RSA_IDENTIFIER.to_vec()),
];
