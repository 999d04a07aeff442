//! The short path: one leaf of a known issuer, by every leaf rule of RFC 5280 and of our profile.
//!
//! It must never accept what webpki refuses; `tests/differential.rs` holds it to that. Cheap rules come
//! first, the one signature last.

use std::sync::Arc;

use kakunin_core::crypto::{Backend, PublicKey};
use kakunin_core::id::{AgentId, Serial, TrustDomain};
use kakunin_core::key::{KeyAlgorithm, Spki, SpkiError};
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::{CertificateView, is_oid};
use kakunin_core::x509::der::Reader;
use kakunin_core::x509::extensions::AgentClaims;

use crate::ca_rules::KEY_CERT_SIGN;
use crate::denied::{Code, Denied};
use crate::issuer::Issuer;

/// An accepted leaf. What may change later (time, revocation) is checked at each use.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) der: Box<[u8]>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) serial: Serial,
    pub(crate) claims: AgentClaims,
    pub(crate) spiffe_id: Box<str>,
    pub(crate) key: Spki,
    not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Leaf {
    /// Checks all of `view`, the certificate `der`, that does not change with time.
    pub(crate) fn check(
        der: &[u8],
        view: &CertificateView<'_>,
        issuer: Arc<Issuer>,
        backend: Backend,
    ) -> Result<Self, Denied> {
        if view.issuer != issuer.name.as_slice() {
            return Err(Denied::about(Code::IssuerUnknown, "issuer name"));
        }
        let algorithm = issuer.key.spki().algorithm().signature_algorithm();
        if view.signature_algorithm != algorithm {
            return Err(Denied::about(Code::SignatureInvalid, "signature algorithm"));
        }
        let serial = view.serial().ok_or(Denied::about(Code::CertificateMalformed, "serial number"))?;
        // A self-issued leaf is legal, and looks self-signed to some: not one of ours.
        if !is_name(view.subject) || view.subject == view.issuer {
            return Err(Denied::about(Code::CertificateMalformed, "subject"));
        }
        check_usage(view)?;
        let claims = claims(view)?;
        if let Some(bound) = issuer.tenant.as_ref().filter(|bound| **bound != claims.tenant) {
            return Err(Denied::about(Code::TenantMismatch, bound.clone()));
        }
        let spiffe_id = spiffe_id(view, &issuer.domain, &claims)?;
        let key = key(view.spki, backend).map_err(|e| Denied::about(Code::KeyNotAllowed, e.code()))?;
        let signed = issuer.key.verify(view.tbs, view.signature);
        signed.map_err(|_| Denied::new(Code::SignatureInvalid))?;
        Ok(Self {
            der: der.into(),
            issuer,
            serial,
            claims,
            spiffe_id: spiffe_id.into(),
            key,
            not_before: view.not_before,
            not_after: view.not_after,
        })
    }

    /// Validity of the leaf, then of its issuers: "the period of time from notBefore through notAfter,
    /// inclusive" (RFC 5280, 4.1.2.5), so up to the end of that second.
    pub(crate) fn check_time(&self, now: UnixTime) -> Result<(), Denied> {
        check_validity(self.not_before, self.not_after, now)?;
        if self.issuer.valid_at(now) { Ok(()) } else { Err(Denied::new(Code::IssuerExpired)) }
    }
}

pub(crate) fn check_validity(not_before: UnixTime, not_after: UnixTime, now: UnixTime) -> Result<(), Denied> {
    if now < not_before {
        Err(Denied::about(Code::CertificateNotYetValid, not_before))
    } else if now.whole_secs() > not_after {
        Err(Denied::about(Code::AgentExpired, not_after))
    } else {
        Ok(())
    }
}

// keyUsage bits 0 and 6 (RFC 5280, 4.2.1.3); bit 5 stands with the issuers.
const DIGITAL_SIGNATURE: u8 = 0x80;
const CRL_SIGN: u8 = 0x02;

fn check_usage(view: &CertificateView<'_>) -> Result<(), Denied> {
    let x = &view.extensions;
    if x.unknown_critical {
        return Err(Denied::new(Code::ExtensionCritical));
    }
    if x.basic_constraints.is_some_and(|(ca, _)| ca) {
        return Err(Denied::about(Code::UsageNotAllowed, "basic constraints"));
    }
    if x.name_constraints {
        // For authorities only (4.2.1.10).
        return Err(Denied::about(Code::UsageNotAllowed, "name constraints"));
    }
    let (critical, bits) = x.key_usage.ok_or(Denied::about(Code::ExtensionMissing, "key usage"))?;
    if !critical || bits & DIGITAL_SIGNATURE == 0 || bits & (KEY_CERT_SIGN | CRL_SIGN) != 0 {
        return Err(Denied::about(Code::UsageNotAllowed, "key usage"));
    }
    let usage = x.ext_key_usage.ok_or(Denied::about(Code::ExtensionMissing, "extended key usage"))?;
    // An X.509-SVID has both (SPIFFE X.509-SVID, 4.4).
    if !usage.client_auth || !usage.server_auth {
        return Err(Denied::about(Code::UsageNotAllowed, "extended key usage"));
    }
    Ok(())
}

fn key(spki: &[u8], backend: Backend) -> Result<Spki, SpkiError> {
    let spki = Spki::from_der(spki)?;
    match spki.algorithm() {
        // There is nothing more to an RSA key than its size, which was looked at.
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Ok(spki),
        // A point may lie off its curve.
        _ => PublicKey::with_backend(&spki, backend).map(|_| spki),
    }
}

// Not empty, and of the strings that RFC 5280, 4.1.2.4, leaves to new certificates. (The issuer's name is
// that of its own certificate.)
fn is_name(der: &[u8]) -> bool {
    let check = || {
        let mut sets = Reader::new(der).sequence().ok().filter(|sets| !sets.is_empty())?;
        while !sets.is_empty() {
            let mut set = Some(Reader::new(sets.read(0x31).ok()?)).filter(|set| !set.is_empty())?;
            while !set.is_empty() {
                let mut attribute = set.sequence().ok()?;
                let kind = attribute.read(0x06).ok()?;
                let text = match attribute.any().ok()? {
                    (0x0c, utf8, _) => core::str::from_utf8(utf8).is_ok(),
                    (0x13 | 0x16, ascii, _) => ascii.is_ascii(),
                    _ => false,
                };
                attribute.finish().ok().filter(|()| text && is_oid(kind))?;
            }
        }
        Some(())
    };
    check().is_some()
}

fn claims(view: &CertificateView<'_>) -> Result<AgentClaims, Denied> {
    if !view.extensions.agent.complete() {
        return Err(Denied::about(Code::ExtensionMissing, "agent extensions"));
    }
    view.extensions.agent.to_owned().ok_or(Denied::about(Code::CertificateMalformed, "agent extensions"))
}

fn spiffe_id<'a>(
    view: &CertificateView<'a>,
    domain: &TrustDomain,
    claims: &AgentClaims,
) -> Result<&'a str, Denied> {
    let names = &view.extensions;
    let uri = names.uri.ok_or(Denied::about(Code::ExtensionMissing, "subject alternative name"))?;
    if names.other_names {
        return Err(Denied::about(Code::SpiffeMismatch, "more than one name"));
    }
    let agent = || {
        uri.strip_prefix("spiffe://")?
            .strip_prefix(domain.as_str())?
            .strip_prefix("/tenant/")?
            .strip_prefix(claims.tenant.as_str())?
            .strip_prefix("/env/")?
            .strip_prefix(claims.environment.as_str())?
            .strip_prefix("/agent/")?
            .parse::<AgentId>()
            .ok()
    };
    if agent() == Some(claims.agent) { Ok(uri) } else { Err(Denied::new(Code::SpiffeMismatch)) }
}
