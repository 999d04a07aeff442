//! Issuing an agent's certificate: prepared, linted, signed elsewhere, assembled.

use crate::agent::{Agent, Document};
use crate::id::{AgentId, IssuerId, Serial, TrustDomain};
use crate::key::{KeyRef, SignError, Signature, Signer, Spki};
use crate::revoke::{Cause, Revocation};
use crate::time::{DAY, HOUR, SECOND, UnixTime};
use crate::words::words;
use crate::x509::ca::Issuer;
use crate::x509::der::Writer;
use crate::x509::extensions::AgentClaims;
use crate::x509::lint::{self, LintError};
use crate::x509::name::NameParts;
use crate::x509::oid::{self, Arc};
use crate::x509::tbs::{
    AssembleError, TbsCertificate, Unsigned, write_authority_key_id, write_ca_issuers, write_crl_point,
    write_extension,
};

pub use crate::x509::ca::BACKDATE;

words! {
    /// How long a certificate lives.
    #[derive(
        Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
    )]
    pub enum Profile {
        /// One hour.
        Ephemeral = "ephemeral",
        /// 24 hours.
        HighRisk = "high-risk",
        /// 30 days.
        Elevated = "elevated",
        /// 365 days: a default of this product, not of any law.
        #[default]
        Standard = "standard",
    }
}

impl Profile {
    /// Lifetime in milliseconds.
    #[must_use]
    pub const fn lifetime(self) -> u64 {
        match self {
            Self::Ephemeral => HOUR,
            Self::HighRisk => 24 * HOUR,
            Self::Elevated => 30 * DAY,
            Self::Standard => 365 * DAY,
        }
    }
}

/// Where a deployment stands: fixed at its beginning, and changed only by rotating its CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trust domain of its SPIFFE IDs.
    pub trust_domain: TrustDomain,
    /// The URL under which CRLs and CA certificates are served, without a slash at its end.
    pub public_url: String,
    /// The arc of the agent extensions.
    pub arc: Arc,
}

impl Place {
    /// The URI of one CRL shard of an issuer: the CDP in certificates, and the IDP in the shard.
    #[must_use]
    pub fn crl_uri(&self, issuer: &IssuerId, shard: u16) -> String {
        format!("{}/api/v1/crl/{issuer}/{shard}.crl", self.public_url)
    }

    /// The URI of an issuer's own certificate.
    #[must_use]
    pub fn ca_uri(&self, issuer: &IssuerId) -> String {
        format!("{}/api/v1/ca/{issuer}.cer", self.public_url)
    }

    /// The SPIFFE ID of an agent.
    #[must_use]
    pub fn spiffe_id(&self, claims: &AgentClaims) -> String {
        let AgentClaims { tenant, environment, agent, .. } = claims;
        format!("spiffe://{}/tenant/{tenant}/env/{environment}/agent/{agent}", self.trust_domain)
    }
}

/// Why a certificate is not issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The issuer has ended.
    #[error("the issuing certificate authority ended on {0}; replace it")]
    IssuerExpired(UnixTime),
    /// The issuer's time has not come: it was made by a clock that was ahead.
    #[error(
        "the issuing certificate authority begins on {0}; set the clock, or replace what a wrong clock made as if it had \
         ended"
    )]
    IssuerNotYetValid(UnixTime),
    /// Whoever keeps the root offline has taken the issuer's certificate back.
    #[error(
        "the issuing certificate authority {0} is on its root's CRL, and nobody accepts what it issues; replace it"
    )]
    IssuerRevoked(IssuerId),
    /// Our own lint found a fault; nothing was signed.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The signature is not the issuer's.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// Why a certificate is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignIssueError {
    /// It cannot be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl IssueError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IssuerExpired(_) => "issuer_expired",
            Self::IssuerNotYetValid(_) => "issuer_not_yet_valid",
            Self::IssuerRevoked(_) => "issuer_revoked",
            Self::Lint(e) => e.code(),
            Self::Assemble(_) => "signature_foreign",
        }
    }
}

/// A certificate that waits for its issuer's signature. Signing it consumes it.
#[derive(Debug)]
pub struct Prepared {
    unsigned: Unsigned,
    facts: Issued,
    profile: Profile,
}

/// What a certificate says, without its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Issued {
    /// Serial number.
    pub serial: Serial,
    /// Whose it is.
    pub agent: AgentId,
    /// Who issued it.
    pub issuer: IssuerId,
    /// First moment of validity.
    pub not_before: UnixTime,
    /// Last moment of validity.
    pub not_after: UnixTime,
    /// The CRL shard it names.
    pub shard: u16,
}

impl Issued {
    /// The revocation of this certificate.
    pub(crate) const fn revocation(&self, cause: Cause, at: UnixTime) -> Revocation {
        Revocation {
            issuer: self.issuer,
            serial: self.serial,
            agent: self.agent,
            at,
            cause,
            expires: self.not_after,
            shard: self.shard,
        }
    }

    /// When it was issued by the clock, where `recorded` is by the log, whose time may be ahead: a second and
    /// [`BACKDATE`] after the beginning, or before.
    pub(crate) fn issued_at(&self, recorded: UnixTime) -> UnixTime {
        recorded.min(self.not_before.plus(BACKDATE + SECOND))
    }

    /// When two thirds of its life are over: the time to renew it.
    #[must_use]
    pub const fn renew_after(&self) -> UnixTime {
        self.not_before.plus(self.not_after.since(self.not_before) / 3 * 2)
    }
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What it says.
    pub facts: Issued,
    /// The certificate.
    pub der: Vec<u8>,
    /// The profile it was issued under.
    pub profile: Profile,
    /// Where its key is; `None` when the workload keeps it.
    pub key: Option<KeyRef>,
}

/// Whether an issuer may issue at this time.
///
/// # Errors
/// [`IssueError::IssuerExpired`], [`IssueError::IssuerNotYetValid`].
pub(crate) fn may_issue(issuer: &Issuer, now: UnixTime) -> Result<(), IssueError> {
    if issuer.valid_at(now) {
        Ok(())
    } else if now < issuer.not_before() {
        Err(IssueError::IssuerNotYetValid(issuer.not_before()))
    } else {
        Err(IssueError::IssuerExpired(issuer.not_after()))
    }
}

/// Prepares the certificate of `agent` for the key `spki`. Scope, model hash, tenant and environment
/// are the agent's as registered now; later changes take effect with the next certificate.
///
/// # Errors
/// [`IssueError`].
pub fn prepare(
    issuer: &Issuer,
    place: &Place,
    agent: &Agent,
    spki: &Spki,
    profile: Profile,
    serial: Serial,
    now: UnixTime,
) -> Result<Prepared, IssueError> {
    may_issue(issuer, now)?;
    let facts = Issued {
        serial,
        agent: agent.id,
        issuer: issuer.id(),
        not_before: now.minus(BACKDATE).max(issuer.not_before()).whole_secs(),
        not_after: now.plus(profile.lifetime()).min(issuer.not_after()).whole_secs(),
        shard: issuer.shard_of(&serial),
    };
    let tbs = TbsCertificate {
        serial: &serial,
        signed_by: issuer.algorithm(),
        issuer: issuer.name(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        subject: &subject(agent),
        spki,
        extensions: &extensions(issuer, place, agent, spki, facts.shard),
    };
    let unsigned = Unsigned::new(tbs.to_der(), issuer.algorithm());
    lint::certificate(&unsigned.under_dummy_signature(), lint::Kind::Agent)?;
    Ok(Prepared { unsigned, facts, profile })
}

impl Prepared {
    /// The bytes to sign.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.unsigned.to_be_signed()
    }

    /// What the certificate will say.
    #[must_use]
    pub const fn facts(&self) -> &Issued {
        &self.facts
    }

    /// Joins the issuer's signature; the key is taken to be with the workload.
    ///
    /// # Errors
    /// [`IssueError::Assemble`] if it is not the issuer's over these bytes.
    pub fn assemble(self, issuer: &Issuer, signature: &Signature) -> Result<Certificate, IssueError> {
        let Self { unsigned, facts, profile } = self;
        Ok(Certificate { facts, der: unsigned.assemble(signature, issuer.key())?, profile, key: None })
    }

    /// Signs and joins in one. The signature of a key in this process is not checked again: that costs as
    /// much as checking the request, and Ed25519, ECDSA and RSA keys here are of a library that knows its own.
    ///
    /// # Errors
    /// What the signer says; [`IssueError::Assemble`] if the signature is not the issuer's over these bytes.
    pub async fn sign(self, issuer: &Issuer, signer: &dyn Signer) -> Result<Certificate, SignIssueError> {
        let signature = signer.sign(self.to_be_signed()).await?;
        if !signer.is_in_process() {
            return Ok(self.assemble(issuer, &signature)?);
        }
        Ok(self.assemble_unchecked(&signature))
    }

    /// Joins the signature that a key in this process just made.
    pub(crate) fn assemble_unchecked(self, signature: &Signature) -> Certificate {
        let Self { unsigned, facts, profile } = self;
        Certificate { facts, der: unsigned.assemble_unchecked(signature), profile, key: None }
    }
}

fn subject(agent: &Agent) -> Vec<u8> {
    NameParts {
        organization: agent.spec.organization.as_ref().map(|l| l.as_str()),
        unit: agent.spec.fleet.as_ref().map(|l| l.as_str()),
        common_name: Some(agent.spec.name.as_str()),
        serial_number: Some(&agent.id.to_string()),
    }
    .to_der()
}

fn extensions(issuer: &Issuer, place: &Place, agent: &Agent, spki: &Spki, shard: u16) -> Vec<u8> {
    let claims = AgentClaims {
        scope: agent.spec.scope.clone(),
        model_hash: agent.spec.model_hash,
        tenant: agent.tenant.clone(),
        environment: agent.spec.environment.clone(),
        agent: agent.id,
        constraints: agent.spec.constraints.as_ref().map(Document::sha256),
    };
    let mut out = Writer::new();
    // RFC 5280 would do without; readers of SVIDs want to see that it is no CA (X509-SVID, 4.1).
    write_extension(&mut out, oid::BASIC_CONSTRAINTS, true, |w| _ = w.element(0x30, &[]));
    write_extension(&mut out, oid::KEY_USAGE, true, |w| _ = w.element(0x03, &[7, 0x80]));
    write_extension(&mut out, oid::EXT_KEY_USAGE, false, |w| {
        w.sequence(|s| _ = s.oid(oid::SERVER_AUTH).oid(oid::CLIENT_AUTH));
    });
    write_extension(&mut out, oid::SUBJECT_KEY_ID, false, |w| _ = w.element(0x04, spki.key_id().as_bytes()));
    write_authority_key_id(&mut out, &issuer.id());
    write_extension(&mut out, oid::SUBJECT_ALT_NAME, false, |w| {
        w.sequence(|s| _ = s.element(0x86, place.spiffe_id(&claims).as_bytes()));
    });
    write_crl_point(&mut out, &place.crl_uri(&issuer.id(), shard));
    write_ca_issuers(&mut out, &place.ca_uri(&issuer.id()));
    claims.write(&place.arc, &mut out);
    out.into_bytes()
}
