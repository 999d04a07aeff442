//! Issuing certificate authorities: validated once by rustls-webpki, then kept ready for use.

use core::time::Duration;

use kakunin_core::crypto::PublicKey;
use kakunin_core::id::{IssuerId, SerialNumber, TenantId, TrustDomain};
use kakunin_core::key::{KeyAlgorithm, Spki};
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::der::{Reader, Writer};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::algorithms::Algorithm;
use crate::anchor::TrustAnchor;
use crate::ca_rules::{check_authority, invalid};
use crate::denied::Denied;
use crate::trust::Trust;
use crate::words;

/// A certificate authority that leads to an anchor. What may change later (time, revocation) is
/// checked at each use.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) id: IssuerId,
    /// Its subject, whole DER: leaves must carry the same octets as their issuer.
    pub(crate) name: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) domain: TrustDomain,
    /// The one tenant whose agents it certifies, if it is bound to one.
    pub(crate) tenant: Option<TenantId>,
    /// Itself and the authorities above it, as revocation views name certificates: by the key that signed each,
    /// as the path was found, whatever authority key identifier stands in it.
    pub(crate) path: Vec<(IssuerId, SerialNumber)>,
    // Common validity of the whole path, the anchor's included.
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Issuer {
    /// Validates the authority `candidate` at `now`, with `others` as certificates between it and an anchor.
    pub(crate) fn validate(
        trust: &Trust,
        candidate: &[u8],
        others: &[&[u8]],
        now: UnixTime,
    ) -> Result<Self, Denied> {
        let view = parse(trust, candidate)?;
        let spki = Spki::from_der(view.spki).map_err(|e| invalid(e.to_string()))?;
        // So that nobody can claim the key identifier of somebody else's authority.
        if view.extensions.subject_key_id != Some(spki.key_id().as_bytes().as_slice()) {
            return Err(invalid("subject key identifier: not the one of RFC 7093, method 1"));
        }
        let probe = Probe::new(view.subject, &spki)?;
        let (anchor, authorities) = probe.path(trust, candidate, others, now)?;
        let mut issuer = Self {
            id: spki.key_id(),
            name: view.subject.to_vec(),
            key: PublicKey::with_backend(&spki, trust.backend).map_err(|e| invalid(e.to_string()))?,
            domain: anchor.domain().clone(),
            tenant: trust.bindings.get(&spki.key_id()).cloned(),
            path: Vec::with_capacity(authorities.len()),
            not_before: anchor.validity().0,
            not_after: anchor.validity().1,
        };
        let mut signed_by = anchor.id();
        for der in authorities.iter().rev() {
            let view = parse(trust, der)?;
            check_authority(&view)?;
            issuer.not_before = issuer.not_before.max(view.not_before);
            issuer.not_after = issuer.not_after.min(view.not_after);
            issuer.bind(&view)?;
            // Whose revocation could not be looked up is not trusted.
            let serial =
                view.serial_number().ok_or(invalid("serial number: not 1 to 20 octets, positive"))?;
            issuer.path.push((signed_by, serial));
            signed_by = Spki::from_der(view.spki).map_err(|e| invalid(e.to_string()))?.key_id();
        }
        Ok(issuer)
    }

    /// Takes over the tenant that an authority on the path is bound to by its certificate.
    fn bind(&mut self, view: &CertificateView<'_>) -> Result<(), Denied> {
        let Some(text) = view.extensions.agent.tenant() else { return Ok(()) };
        let tenant: TenantId = text.parse().map_err(|_| invalid("tenant: not one"))?;
        if self.tenant.as_ref().is_some_and(|bound| *bound != tenant) {
            return Err(invalid("tenant: bound to two"));
        }
        self.tenant = Some(tenant);
        Ok(())
    }

    pub(crate) fn valid_at(&self, now: UnixTime) -> bool {
        self.not_before <= now && now.whole_secs() <= self.not_after
    }
}

fn parse<'a>(trust: &Trust, der: &'a [u8]) -> Result<CertificateView<'a>, Denied> {
    CertificateView::parse(der, &trust.arc).map_err(|_| invalid("not a DER certificate"))
}

/// Why webpki refuses a path, in words: it says it in the names of its types.
fn refused(error: &webpki::Error) -> String {
    let at = |time: &rustls_pki_types::UnixTime| UnixTime::from_secs(time.as_secs());
    match error {
        webpki::Error::CertExpired { time, not_after } => {
            format!("ended at {}, and here it is {}", at(not_after), at(time))
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            format!("begins at {}, and here it is {}; check the clocks", at(not_before), at(time))
        }
        webpki::Error::UnknownIssuer => "leads to no anchor that is trusted here".to_owned(),
        other => words::of(&format!("{other:?}")),
    }
}

/// webpki validates a chain from a leaf only. So it is given one: a certificate made for the occasion,
/// under an algorithm that accepts exactly its octets for exactly the candidate's key.
#[derive(Debug)]
struct Probe {
    certificate: Vec<u8>,
    tbs: Vec<u8>,
    issuer_key: Vec<u8>,
    key: AlgorithmIdentifier,
}

impl Probe {
    fn new(issuer: &[u8], spki: &Spki) -> Result<Self, Denied> {
        let key = match spki.algorithm() {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => alg_id::RSA_ENCRYPTION,
            KeyAlgorithm::P256 => alg_id::ECDSA_P256,
            KeyAlgorithm::Ed25519 => alg_id::ED25519,
            _ => return Err(invalid("key algorithm")),
        };
        let mut tbs = Writer::new();
        tbs.sequence(|w| {
            w.nested(0xa0, |w| _ = w.unsigned(&[2]))
                .unsigned(&[1])
                .element(0x30, PROBE_ALGORITHM)
                .raw(issuer);
            w.sequence(|w| _ = w.element(0x17, b"700101000000Z").element(0x18, b"99991231235959Z"));
            w.sequence(|_| ()).sequence(|_| ());
        });
        let tbs = tbs.into_bytes();
        let mut certificate = Writer::new();
        certificate.sequence(|w| _ = w.raw(&tbs).element(0x30, PROBE_ALGORITHM).bit_string(&[]));
        let issuer_key = public_key_bits(spki).ok_or_else(|| invalid("key"))?.to_vec();
        Ok(Self { certificate: certificate.into_bytes(), tbs, issuer_key, key })
    }

    /// The anchor that `candidate` leads to, and the authorities on the way, `candidate` first.
    fn path<'t>(
        &self,
        trust: &'t Trust,
        candidate: &[u8],
        others: &[&[u8]],
        now: UnixTime,
    ) -> Result<(&'t TrustAnchor, Vec<Vec<u8>>), Denied> {
        let leaf = CertificateDer::from(self.certificate.as_slice());
        let leaf = EndEntityCert::try_from(&leaf).map_err(|e| invalid(refused(&e)))?;
        let real = Algorithm::all(trust.backend);
        let mut algorithms: Vec<&dyn SignatureVerificationAlgorithm> = vec![self];
        algorithms.extend(real.iter().map(|a| -> &dyn SignatureVerificationAlgorithm { a }));
        let anchors: Vec<_> = trust.anchors.iter().map(|a| a.webpki().clone()).collect();
        let others: Vec<_> = [candidate].iter().chain(others).map(|der| CertificateDer::from(*der)).collect();
        let through_candidate = |path: &VerifiedPath<'_>| match path.intermediate_certificates().next() {
            Some(first) if first.der().as_ref() == candidate => Ok(()),
            _ => Err(webpki::Error::UnknownIssuer),
        };
        let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.secs()));
        let usage = KeyUsage::client_auth();
        let path = leaf
            .verify_for_usage(&algorithms, &anchors, &others, time, usage, None, Some(&through_candidate))
            .map_err(|e| invalid(refused(&e)))?;
        let anchor = trust.anchors.iter().find(|a| a.webpki() == path.anchor());
        let authorities = path.intermediate_certificates().map(|c| c.der().to_vec()).collect();
        Ok((anchor.ok_or_else(|| invalid("anchor"))?, authorities))
    }
}

impl SignatureVerificationAlgorithm for Probe {
    fn verify_signature(&self, key: &[u8], message: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        if key == self.issuer_key && message == self.tbs { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(PROBE_ALGORITHM)
    }
}

// 1.3.6.1.4.1.32473.0, under the documentation arc: an algorithm no certificate can name in earnest.
const PROBE_ALGORITHM: &[u8] = &[0x06, 9, 0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 0];

fn public_key_bits(spki: &Spki) -> Option<&[u8]> {
    let mut body = Reader::new(spki.as_der()).sequence().ok()?;
    body.raw(0x30).ok()?;
    body.bit_string().ok()
}
