//! What a deployment is made as.

use crate::brand::DEFAULT_ARC;
use crate::id::TrustDomain;
use crate::key::KeyAlgorithm;
use crate::policy::Policy;
use crate::service::error::Error;
use crate::time::{DAY, MINUTE};

/// What a deployment is. The first three are fixed when it is made, and checked whenever it is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// Trust domain of the SPIFFE IDs.
    pub trust_domain: TrustDomain,
    /// URL under which CRLs and CA certificates will be served, without a slash at its end.
    pub public_url: String,
    /// Arc of the agent extensions.
    pub arc: String,
    /// Algorithms of the root and of the issuing CA, used when they are made.
    pub ca_algorithms: (KeyAlgorithm, KeyAlgorithm),
    /// A root that is kept elsewhere, with the issuing CA that it signed for this deployment. Used when the
    /// deployment is made; see [`Kakunin::request_first_issuing`](crate::service::Kakunin::request_first_issuing).
    pub offline: Option<OfflineRoot>,
    /// What decides over risk scores where a tenant has said nothing: see [`Tenant::set_policy`](crate::service::Tenant::set_policy).
    pub policy: Policy,
    /// How long a renewed certificate stands beside the one that replaces it, in milliseconds, unless that is used
    /// before; [`Config::RENEWAL_GRACE`] if not said otherwise. With 0 it is superseded in the append of the
    /// renewal, and an agent that never got the answer is left with nothing until it asks again.
    pub renewal_grace: u64,
    /// How long a certificate is known after it expired, in milliseconds of the log's time;
    /// [`Config::CERTIFICATE_RETENTION`] if not said otherwise, and two days at the least. Then it leaves memory and
    /// store, a few at once, as its agent is given new ones, and is in the log alone: its serial number is found no more.
    /// What was revoked for what its agent did, or is held, stays.
    pub certificate_retention: u64,
    /// Whether the log believes the clock however much later than the last record that is, once. It is told so by somebody
    /// who looked at the clock: otherwise a clock that is more than 400 days ahead of the last record as a deployment is
    /// opened, or more than 7 as it runs, is not believed, and the log goes on from its last record.
    pub believe_clock: bool,
}

/// A root whose key is not here, and what it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineRoot {
    /// Certificate of the root, DER.
    pub root: Vec<u8>,
    /// Certificate of the issuing CA, DER.
    pub issuing: Vec<u8>,
}

impl Config {
    /// Five minutes: time for an agent to notice that an answer was lost, and to ask again.
    pub const RENEWAL_GRACE: u64 = 5 * MINUTE;

    /// Forty days: the 30 days that a score looks back, and as long as any CRL may name an expired certificate.
    pub const CERTIFICATE_RETENTION: u64 = 40 * DAY;

    /// A deployment with an RSA-3072 root, an RSA-2048 issuing CA, the documentation arc, and
    /// `http://<trust domain>` as its public URL.
    ///
    /// # Errors
    /// [`Error::Agent`] if this is not a trust domain.
    pub fn new(trust_domain: &str) -> Result<Self, Error> {
        let trust_domain: TrustDomain = trust_domain.parse().map_err(crate::agent::AgentError::from)?;
        Ok(Self {
            public_url: format!("http://{trust_domain}"),
            trust_domain,
            arc: DEFAULT_ARC.to_owned(),
            ca_algorithms: (KeyAlgorithm::Rsa3072, KeyAlgorithm::Rsa2048),
            offline: None,
            policy: Policy::default(),
            renewal_grace: Self::RENEWAL_GRACE,
            certificate_retention: Self::CERTIFICATE_RETENTION,
            believe_clock: false,
        })
    }
}
