//! What is about to be signed, read by an independent decoder (`x509-cert`) and held against
//! RFC 5280 and the profile. A fault found here is ours, and nothing was signed yet.

use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier, name::GeneralName,
};

/// A rule that what we built breaks. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused to sign: {rule} ({clause})")]
pub struct LintError {
    rule: &'static str,
    clause: &'static str,
}

impl LintError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "lint_refused"
    }
}

/// What a certificate is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A root or issuing CA.
    Ca,
    /// An agent's certificate.
    Agent,
}

/// Lints a certificate under any signature.
///
/// # Errors
/// The first rule it breaks.
pub(crate) fn certificate(der: &[u8], kind: Kind) -> Result<(), LintError> {
    let parsed = Certificate::from_der(der).map_err(|_| fault("it does not decode", "RFC 5280, 4.1"))?;
    rule(parsed.to_der().is_ok_and(|again| again == der), "it is not DER", "X.690")?;
    let tbs = parsed.tbs_certificate();
    rule(tbs.version() == x509_cert::certificate::Version::V3, "it is not version 3", "RFC 5280, 4.1.2.1")?;
    rule(tbs.signature() == parsed.signature_algorithm(), "two signature algorithms", "RFC 5280, 4.1.1.2")?;
    let serial = tbs.serial_number().as_bytes();
    let serial_fits =
        serial.len() <= 20 && serial.iter().any(|b| *b != 0) && serial.first().is_some_and(|b| *b < 0x80);
    rule(serial_fits, "the serial number is not a positive 20 octets", "RFC 5280, 4.1.2.2")?;
    let validity = tbs.validity();
    let ordered = validity.not_before.to_unix_duration() < validity.not_after.to_unix_duration();
    rule(ordered, "it ends before it begins", "RFC 5280, 4.1.2.5")?;
    rule(!tbs.issuer().is_empty() && !tbs.subject().is_empty(), "a name is empty", "RFC 5280, 4.1.2.4")?;
    let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
    unique(extensions)?;
    match kind {
        Kind::Ca => ca(extensions, tbs.issuer() == tbs.subject()),
        Kind::Agent => agent(extensions),
    }
}

/// Lints a CRL under any signature.
///
/// # Errors
/// The first rule it breaks.
pub(crate) fn crl(der: &[u8]) -> Result<(), LintError> {
    let parsed: CertificateList =
        CertificateList::from_der(der).map_err(|_| fault("it does not decode", "RFC 5280, 5.1"))?;
    rule(parsed.to_der().is_ok_and(|again| again == der), "it is not DER", "X.690")?;
    let tbs = &parsed.tbs_cert_list;
    rule(tbs.version == x509_cert::certificate::Version::V2, "it is not version 2", "RFC 5280, 5.1.2.1")?;
    rule(tbs.signature == parsed.signature_algorithm, "two signature algorithms", "RFC 5280, 5.1.1.2")?;
    let next = tbs.next_update.ok_or(fault("nextUpdate is absent", "RFC 5280, 5.1.2.5"))?;
    let ordered = tbs.this_update.to_unix_duration() < next.to_unix_duration();
    rule(ordered, "nextUpdate is not after thisUpdate", "RFC 5280, 5.1.2.5")?;
    if let Some(entries) = &tbs.revoked_certificates {
        rule(!entries.is_empty(), "an empty list of entries is written", "RFC 5280, 5.1.2.6")?;
        let mut serials: Vec<_> = entries.iter().map(|e| e.serial_number.as_bytes()).collect();
        serials.sort_unstable();
        rule(
            serials.windows(2).all(|w| w.first() != w.last()),
            "a serial number stands there twice",
            "RFC 5280, 5.3",
        )?;
    }
    let extensions = tbs.crl_extensions.as_deref().unwrap_or_default();
    unique(extensions)?;
    let has = |oid: &str, critical| {
        extensions.iter().any(|e| e.extn_id.to_string() == oid && e.critical == critical)
    };
    rule(has("2.5.29.20", false), "cRLNumber is absent or critical", "RFC 5280, 5.2.3")?;
    rule(has("2.5.29.35", false), "authorityKeyIdentifier is absent or critical", "RFC 5280, 5.2.1")
}

fn ca(extensions: &[Extension], self_signed: bool) -> Result<(), LintError> {
    let (critical, constraints) = required::<BasicConstraints>(extensions, "basicConstraints is absent")?;
    rule(critical && constraints.ca, "basicConstraints is not critical with cA", "RFC 5280, 4.2.1.9")?;
    let (critical, usage) = required::<KeyUsage>(extensions, "keyUsage is absent")?;
    let signs = usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature();
    rule(critical && signs, "keyUsage is not critical keyCertSign and cRLSign", "RFC 5280, 4.2.1.3")?;
    required::<SubjectKeyIdentifier>(extensions, "subjectKeyIdentifier is absent")?;
    let issuer_key = find::<AuthorityKeyIdentifier>(extensions)?;
    rule(self_signed || issuer_key.is_some(), "authorityKeyIdentifier is absent", "RFC 5280, 4.2.1.1")
}

fn agent(extensions: &[Extension]) -> Result<(), LintError> {
    let (_, constraints) = required::<BasicConstraints>(extensions, "basicConstraints is absent")?;
    rule(!constraints.ca, "an agent would be a CA", "RFC 5280, 4.2.1.9")?;
    let (critical, usage) = required::<KeyUsage>(extensions, "keyUsage is absent")?;
    let signs = usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign();
    rule(critical && signs, "keyUsage is not critical digitalSignature", "X509-SVID, 4.3")?;
    let (_, purposes) = required::<ExtendedKeyUsage>(extensions, "extKeyUsage is absent")?;
    let has = |oid: &str| purposes.0.iter().any(|p| p.to_string() == oid);
    let both = has("1.3.6.1.5.5.7.3.1") && has("1.3.6.1.5.5.7.3.2");
    rule(both, "extKeyUsage lacks serverAuth or clientAuth", "X509-SVID, 4.4")?;
    required::<SubjectKeyIdentifier>(extensions, "subjectKeyIdentifier is absent")?;
    let (_, key) = required::<AuthorityKeyIdentifier>(extensions, "authorityKeyIdentifier is absent")?;
    rule(key.key_identifier.is_some(), "authorityKeyIdentifier has no key identifier", "RFC 5280, 4.2.1.1")?;
    let (_, names) = required::<SubjectAltName>(extensions, "subjectAltName is absent")?;
    let spiffe = match names.0.as_slice() {
        [GeneralName::UniformResourceIdentifier(uri)] => uri
            .as_str()
            .strip_prefix("spiffe://")
            .is_some_and(|rest| !rest.is_empty() && uri.as_str().len() <= 2048),
        _ => false,
    };
    rule(spiffe, "subjectAltName is not exactly one SPIFFE ID", "X509-SVID, 2")?;
    let known = |e: &Extension| ["2.5.29.15", "2.5.29.19"].contains(&e.extn_id.to_string().as_str());
    let others_critical = extensions.iter().any(|e| e.critical && !known(e));
    rule(!others_critical, "an extension that TLS stacks may not know is critical", "ADR 1")
}

fn unique(extensions: &[Extension]) -> Result<(), LintError> {
    let mut oids: Vec<_> = extensions.iter().map(|e| e.extn_id).collect();
    oids.sort_unstable();
    rule(oids.windows(2).all(|w| w.first() != w.last()), "an extension stands there twice", "RFC 5280, 4.2")
}

fn find<'a, T>(extensions: &'a [Extension]) -> Result<Option<(bool, T)>, LintError>
where
    T: const_oid::AssociatedOid + Decode<'a>,
{
    extensions
        .iter()
        .find(|e| e.extn_id == T::OID)
        .map(|e| {
            let value = T::from_der(e.extn_value.as_bytes());
            value.map(|v| (e.critical, v)).map_err(|_| fault("an extension does not decode", "RFC 5280, 4.2"))
        })
        .transpose()
}

fn required<'a, T>(extensions: &'a [Extension], absent: &'static str) -> Result<(bool, T), LintError>
where
    T: const_oid::AssociatedOid + Decode<'a>,
{
    find::<T>(extensions)?.ok_or(fault(absent, "RFC 5280, 4.2.1"))
}

fn rule(holds: bool, broken: &'static str, clause: &'static str) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(fault(broken, clause)) }
}

const fn fault(rule: &'static str, clause: &'static str) -> LintError {
    LintError { rule, clause }
}
