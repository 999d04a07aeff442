//! Why something was denied: codes that stay, sentences that say what to do.

use core::fmt;

pub use crate::context::{Context, Party};

/// A refusal. Values compare, so that callers and tests can match on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    code: Code,
    context: Context,
}

/// What a refusal is about. Texts of [`Code::as_str`] never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The action is not one of the scope grammar.
    ActionMalformed,
    /// The certificate's validity is over.
    AgentExpired,
    /// The certificate is on hold: the agent is suspended, and may be released.
    AgentInactive,
    /// The certificate is revoked.
    AgentRevoked,
    /// Not DER, or not a certificate of this profile.
    CertificateMalformed,
    /// No certificate was presented.
    CertificateMissing,
    /// The certificate's validity has not begun.
    CertificateNotYetValid,
    /// Signed content that is too long to be checked before it is handed on.
    ContentTooLarge,
    /// A critical extension that nothing here understands (RFC 5280, 4.2).
    ExtensionCritical,
    /// An extension this profile requires is absent.
    ExtensionMissing,
    /// The issuer, or a certificate above it, is not valid at this time.
    IssuerExpired,
    /// The issuer's certificate does not lead to an anchor, or is not that of a certificate authority.
    IssuerInvalid,
    /// The issuer, or a certificate above it, is revoked or held.
    IssuerRevoked,
    /// The issuer is not known and was not presented.
    IssuerUnknown,
    /// The certified key is weak or of an algorithm that is not used.
    KeyNotAllowed,
    /// What was presented as proof of possession does not prove it.
    PossessionInvalid,
    /// The proof is for a service of another name.
    PossessionMisdirected,
    /// A certificate or serial number without proof that its key is held.
    PossessionMissing,
    /// The proof was used before.
    PossessionReplayed,
    /// The proof is too old, or from the future.
    PossessionStale,
    /// No more proofs of this agent or its tenant can be remembered, so none can be told from a replay.
    PossessionUnavailable,
    /// The revocations of this issuer are not known here.
    RevocationUnknown,
    /// The scope in the certificate does not cover the action.
    ScopeViolation,
    /// The signature does not verify by the issuer's key and its one algorithm.
    SignatureInvalid,
    /// The SPIFFE ID is not that of the trust domain and the agent extensions.
    SpiffeMismatch,
    /// What is asked for can be read in more than one way: by a gateway so, by the service behind otherwise.
    TargetAmbiguous,
    /// The issuer is bound to another tenant than the one in the certificate.
    TenantMismatch,
    /// Key usage, extended key usage or basic constraints are not those of an agent.
    UsageNotAllowed,
    /// What is known of revocations is too old to decide.
    VerifyUnavailable,
}

impl Denied {
    /// A refusal of this kind, by whoever decides what a verifier cannot: that a nonce was used elsewhere.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, context: Context::None }
    }

    pub(crate) fn about(code: Code, context: impl Into<Context>) -> Self {
        Self { code, context: context.into() }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The code as a value to match on.
    #[must_use]
    pub const fn kind(&self) -> Code {
        self.code
    }

    /// What the refusal is about, such as the action or the extension.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Who has to act.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.code.party()
    }

    /// The status to answer over HTTP: 401 when the caller did not prove who it is, 403 when it did
    /// and is refused, 413 and 429 when it is to send less, 503 when nothing could be decided.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.code.facts().1
    }
}

impl From<Code> for Denied {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.facts().2)?;
        if self.context == Context::None { Ok(()) } else { write!(f, " (`{}`)", self.context) }
    }
}

impl core::error::Error for Denied {}

impl Code {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 29] = [
        Self::ActionMalformed,
        Self::AgentExpired,
        Self::AgentInactive,
        Self::AgentRevoked,
        Self::CertificateMalformed,
        Self::CertificateMissing,
        Self::CertificateNotYetValid,
        Self::ContentTooLarge,
        Self::ExtensionCritical,
        Self::ExtensionMissing,
        Self::IssuerExpired,
        Self::IssuerInvalid,
        Self::IssuerRevoked,
        Self::IssuerUnknown,
        Self::KeyNotAllowed,
        Self::PossessionInvalid,
        Self::PossessionMisdirected,
        Self::PossessionMissing,
        Self::PossessionReplayed,
        Self::PossessionStale,
        Self::PossessionUnavailable,
        Self::RevocationUnknown,
        Self::ScopeViolation,
        Self::SignatureInvalid,
        Self::SpiffeMismatch,
        Self::TargetAmbiguous,
        Self::TenantMismatch,
        Self::UsageNotAllowed,
        Self::VerifyUnavailable,
    ];

    /// The code as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// Who has to act so that the same is not refused again.
    #[must_use]
    pub const fn party(self) -> Party {
        match self {
            Self::ActionMalformed
            | Self::CertificateMissing
            | Self::ContentTooLarge
            | Self::PossessionInvalid
            | Self::PossessionMisdirected
            | Self::PossessionMissing
            | Self::PossessionReplayed
            | Self::PossessionStale
            | Self::PossessionUnavailable
            | Self::SignatureInvalid
            | Self::TargetAmbiguous => Party::Caller,
            Self::AgentExpired
            | Self::AgentInactive
            | Self::AgentRevoked
            | Self::CertificateMalformed
            | Self::ExtensionCritical
            | Self::ExtensionMissing
            | Self::IssuerExpired
            | Self::IssuerRevoked
            | Self::KeyNotAllowed
            | Self::ScopeViolation
            | Self::SpiffeMismatch
            | Self::TenantMismatch
            | Self::UsageNotAllowed => Party::Issuer,
            Self::CertificateNotYetValid
            | Self::IssuerInvalid
            | Self::IssuerUnknown
            | Self::RevocationUnknown
            | Self::VerifyUnavailable => Party::Verifier,
        }
    }

    /// Whether the certificate did stand once, and does not any more.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::AgentExpired | Self::AgentInactive | Self::AgentRevoked)
    }

    // Code, HTTP status, sentence.
    const fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::ActionMalformed => {
                ("action_malformed", 403, "the action is not `verb:resource`; name one concrete action")
            }
            Self::AgentExpired => ("agent_expired", 403, "the certificate has expired; renew it"),
            Self::AgentInactive => {
                ("agent_inactive", 403, "the agent is suspended; have its operator release the hold")
            }
            Self::AgentRevoked => {
                ("agent_revoked", 403, "the certificate is revoked; the agent needs a new one")
            }
            Self::CertificateMalformed => (
                "certificate_malformed",
                401,
                "not a certificate of this profile in the form that is read here; compare the form, or have it issued again",
            ),
            Self::CertificateMissing => (
                "certificate_missing",
                401,
                "no certificate was presented; present the agent's chain, leaf first",
            ),
            Self::CertificateNotYetValid => (
                "certificate_not_yet_valid",
                403,
                "the certificate is not valid yet; compare the clocks of issuer and verifier",
            ),
            Self::ContentTooLarge => (
                "content_too_large",
                413,
                "the signed content is too long to be checked here; send less at once",
            ),
            Self::ExtensionCritical => {
                ("extension_critical", 401, "a critical extension is not understood; issue without it")
            }
            Self::ExtensionMissing => {
                ("extension_missing", 401, "a required extension is missing; issue under the agent profile")
            }
            Self::IssuerExpired => {
                ("issuer_expired", 401, "the issuing authority is not valid now; renew from a current one")
            }
            Self::IssuerInvalid => (
                "issuer_invalid",
                401,
                "the issuing authority is not acceptable; check its certificate and the anchors",
            ),
            Self::IssuerRevoked => {
                ("issuer_revoked", 403, "the issuing authority is revoked; renew from a current one")
            }
            Self::IssuerUnknown => (
                "issuer_unknown",
                401,
                "the issuing authority is not known; present its certificate beside the leaf, or load it",
            ),
            Self::KeyNotAllowed => (
                "key_not_allowed",
                401,
                "the certified key is not acceptable; use RSA-2048, P-256 or Ed25519",
            ),
            Self::PossessionInvalid => (
                "possession_invalid",
                401,
                "the request is not signed with the certified key in the form asked for; sign it so",
            ),
            Self::PossessionMisdirected => (
                "possession_misdirected",
                401,
                "the request is signed for another host than this service is; sign it for the host of its URL",
            ),
            Self::PossessionMissing => (
                "possession_missing",
                401,
                "nothing proves that the certified key is held; use mutual TLS, or sign the request",
            ),
            Self::PossessionReplayed => (
                "possession_replayed",
                401,
                "this signature was used before; sign each request with a new nonce",
            ),
            Self::PossessionStale => (
                "possession_stale",
                401,
                "the signature is not of this minute; sign again, by the right clock",
            ),
            Self::PossessionUnavailable => (
                "possession_unavailable",
                429,
                "too many signatures of this agent or its tenant within a minute; wait, and sign again",
            ),
            Self::RevocationUnknown => (
                "revocation_unknown",
                503,
                "the revocations of this issuer are not known here; subscribe to them",
            ),
            Self::ScopeViolation => (
                "scope_violation",
                403,
                "the certificate does not allow this action; issue one with that scope",
            ),
            Self::SignatureInvalid => (
                "signature_invalid",
                401,
                "the certificate was not signed by its issuer; present it unaltered",
            ),
            Self::SpiffeMismatch => (
                "spiffe_mismatch",
                401,
                "the SPIFFE ID is not that of the trust domain and the agent; issue anew",
            ),
            Self::TargetAmbiguous => (
                "target_ambiguous",
                403,
                "the request can be read in more than one way; send a plain path and method, in their one spelling",
            ),
            Self::TenantMismatch => (
                "tenant_mismatch",
                401,
                "the issuing authority certifies agents of another tenant alone; issue from the tenant's own",
            ),
            Self::UsageNotAllowed => (
                "usage_not_allowed",
                401,
                "the certificate is not for an agent's use; issue under the agent profile",
            ),
            Self::VerifyUnavailable => (
                "verify_unavailable",
                503,
                "what is known of revocations is too old; retry when the feed is back",
            ),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_sentences_lower_case() {
        let codes: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            let denied = Denied::about(code, "x");
            let text = denied.to_string();
            assert!(text.starts_with(|c: char| c.is_ascii_lowercase()) && text.ends_with(" (`x`)"), "{text}");
            assert!([401, 403, 413, 429, 503].contains(&denied.http_status()));
        }
    }
}
