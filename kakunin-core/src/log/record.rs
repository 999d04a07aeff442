//! What the log says: every kind of record, and how it becomes a leaf with its payload.

use base64ct::{Base64, Encoding};

use crate::access::{ApiKeyFacts, ApiKeyId, JoinTokenFacts, JoinTokenId};
use crate::agent::{Agent, Document, NewAgent, Note};
use crate::error::StoreError;
use crate::event::{Event, ShortName};
use crate::grant::Principal;
use crate::id::{AgentId, Entropy, EntropyError, IssuerId, Serial, TenantId, TrustDomain, hex_encode};
use crate::issue::{Issued, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId};
use crate::log::leaf::{Act, Leaf, LeafError};
use crate::log::sink::{Entry, Payload};
use crate::revoke::{Halt, Revocation, RevocationChange};
use crate::risk::{Band, Family, ModelId, Score};
use crate::scope::{Action, Scope, ScopeSet};
use crate::time::UnixTime;
use crate::x509::extensions::ModelHash;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The log's time.
    pub time: UnixTime,
    /// The agent it concerns.
    pub agent: Option<AgentId>,
    /// The certificate it concerns.
    pub serial: Option<Serial>,
    /// Who asked for it, such as `key:<id>`; `None` for what the deployment decided by itself, and for
    /// events, which say how sure it is that they are the agent's own.
    pub by: Option<ShortName>,
    /// What happened.
    pub body: Body,
}

/// What happened. Kinds are only ever added; a reader that meets an unknown critical one stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `agent.event`: what an agent did. The act is in the leaf; the event is the payload, `None`
    /// once it is erased.
    Event(Box<Act>, Option<Box<Event>>),
    /// Everything else: the payload holds it whole.
    Control(Box<Control>),
}

/// Records that are not events.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "always boxed in Body")]
pub enum Control {
    /// `deployment.created`
    DeploymentCreated {
        /// Trust domain of the SPIFFE IDs.
        trust_domain: TrustDomain,
        /// URL under which CRLs and CA certificates are served.
        public_url: String,
        /// Arc of the agent extensions.
        arc: String,
        /// The log key.
        log_key: KeyRef,
        /// Verifier key of the system log.
        log_verifier: String,
        /// The feed key, which cosigns revocation logs with a time.
        feed_key: KeyRef,
        /// Its verifier key.
        feed_verifier: String,
    },
    /// `ca.created`
    CaCreated {
        /// `root` or `issuing`.
        role: CaRole,
        /// Its key, unless that is kept elsewhere: an offline root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyRef>,
        /// Its certificate, PEM.
        certificate: String,
        /// The tenant that it issues for, if not for every tenant that has none of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
    },
    /// `tenant.created`
    TenantCreated {
        /// The tenant.
        tenant: TenantId,
    },
    /// `crl.published`
    CrlPublished {
        /// Whose CRL.
        issuer: IssuerId,
        /// Which shard; the full CRL if there is none.
        shard: Option<u16>,
        /// cRLNumber.
        number: u64,
        /// How many entries.
        entries: u64,
        /// SHA-256 of the DER, hex.
        sha256: String,
    },
    /// `api_key.created`: who may call the API; its hash is in the vault.
    ApiKeyCreated(ApiKeyFacts),
    /// `api_key.revoked`
    ApiKeyRevoked {
        /// Which key.
        id: ApiKeyId,
    },
    /// `agent.registered`
    AgentRegistered(Agent),
    /// `agent.updated`: takes effect with the next certificate.
    AgentUpdated(NewAgent),
    /// `agent.halted`: somebody pulled the switch; what it revoked follows in the same append.
    AgentHalted {
        /// The stop.
        halt: Halt,
        /// What whoever ordered it had to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// `agent.impersonation_suspected`: somebody presents its certificate or names its serial without
    /// showing possession; at most once a day and agent.
    PossessionMissing,
    /// `agent.retired`
    AgentRetired,
    /// `join_token.created`: with it the agent gets its certificate itself; its hash is in the vault.
    JoinTokenCreated(JoinTokenFacts),
    /// `join_token.redeemed`
    JoinTokenRedeemed {
        /// Which token.
        id: JoinTokenId,
    },
    /// `key.planned`
    KeyPlanned {
        /// Under which identifier.
        planned: PlannedKeyId,
        /// Of which algorithm.
        algorithm: KeyAlgorithm,
    },
    /// `key.bound`: the key exists, here or with the workload.
    KeyBound {
        /// Where it is; `None` when the workload keeps it.
        key: Option<KeyRef>,
        /// Its key identifier.
        key_id: IssuerId,
        /// The word of the key before it, at a renewal by request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        binding: Option<KeyBinding>,
    },
    /// `key.abandoned`: planned, and not bound before a crash.
    KeyAbandoned {
        /// Under which identifier.
        planned: PlannedKeyId,
    },
    /// `key.task_delayed`: the provider could not be told, and is told further.
    KeyTaskDelayed {
        /// Which key, or the identifier under which one was planned.
        key: KeyRef,
        /// What it is to be told.
        action: KeyAction,
    },
    /// `key.granted`: somebody else may sign with it, at its provider.
    KeyGranted {
        /// Which key.
        key: KeyRef,
        /// Who.
        principal: Principal,
    },
    /// `certificate.planned`: this serial is about to be signed.
    CertificatePlanned {
        /// What the certificate will say.
        facts: Issued,
        /// Its profile.
        profile: Profile,
    },
    /// `certificate.issued`
    CertificateIssued {
        /// What it says.
        facts: Issued,
        /// The certificate, PEM.
        certificate: String,
        /// Whether it follows a revocation or hold: the old evidence no longer counts.
        reinstates: bool,
        /// The document whose hash it pins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        constraints: Option<Document>,
        /// What was shown and seen, if it replaces another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renewal: Option<Renewal>,
    },
    /// `certificate.revoked`
    CertificateRevoked {
        /// The revocation.
        revocation: Revocation,
        /// Why, when behaviour was the cause.
        evidence: Option<Evidence>,
    },
    /// `certificate.held`
    CertificateHeld(Revocation),
    /// `certificate.released`
    CertificateReleased {
        /// Who issued it.
        issuer: IssuerId,
    },
    /// `risk.band_changed`
    BandChanged {
        /// From which band.
        from: Band,
        /// To which band.
        to: Band,
        /// On what evidence.
        evidence: Evidence,
    },
    /// `revocation.changed`, in the issuer's revocation log.
    RevocationChanged(RevocationChange),
}

/// What a key provider is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// To refuse to sign, for now.
    Disable,
    /// To sign again.
    Enable,
    /// To refuse for ever, and to delete.
    Retire,
    /// To retire whatever was made under a planned identifier.
    Sweep,
}

/// Which certificate authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaRole {
    /// The trust anchor.
    Root,
    /// The one that issues to agents.
    Issuing,
}

/// What a decision about behaviour rests on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// The score that crossed.
    pub score: Score,
    /// The threshold of revocation.
    pub threshold: Score,
    /// The model.
    pub model: ModelId,
    /// Index of the event in this log.
    pub event: u64,
    /// What each family contributes, strongest first.
    pub families: Vec<(Family, Score)>,
}

/// The word of a certificate's key for the key that follows it: its signature over
/// [`crate::x509::csr::Proven::binding_text`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyBinding {
    /// The certificate whose key signed.
    pub serial: Serial,
    /// SHA-256 of the request, hex.
    pub request: String,
    /// The signature, base64.
    pub signature: String,
}

impl KeyBinding {
    pub(crate) fn new(serial: Serial, request: [u8; 32], signature: &[u8]) -> Self {
        Self { serial, request: hex_encode(&request), signature: Base64::encode_string(signature) }
    }
}

/// What was attested, approved and seen when a certificate was renewed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Renewal {
    /// The certificate that is replaced.
    pub replaces: Serial,
    /// The model that the agent runs, as whoever ordered the renewal attests.
    pub attested: ModelHash,
    /// The scope that whoever ordered the renewal approves; `None` when the agent renewed by itself.
    pub approved: Option<ScopeSet>,
    /// Scopes that the replaced certificate did not have.
    pub added: Vec<Scope>,
    /// Scopes that only the replaced certificate has.
    pub removed: Vec<Scope>,
    /// Which of `model_hash`, `environment`, `constraints` are not those of the replaced certificate.
    pub changed: Vec<String>,
    /// The agent's score.
    pub score: Score,
    /// Its band, which bounds the profile.
    pub band: Band,
    /// Scopes of the replaced certificate that were never used; `None` if too many actions were.
    pub unused: Option<Vec<Scope>>,
    /// Actions that were refused under the replaced certificate, at most 64.
    pub refused: Vec<Action>,
}

/// The payload of a record that is not an event.
#[derive(serde::Serialize, serde::Deserialize)]
struct Asked<C> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<ShortName>,
    record: C,
}

/// Kind code of events.
pub const EVENT: u16 = 32;

impl Control {
    /// Name of this kind of record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeploymentCreated { .. } => "deployment.created",
            Self::CaCreated { .. } => "ca.created",
            Self::TenantCreated { .. } => "tenant.created",
            Self::CrlPublished { .. } => "crl.published",
            Self::ApiKeyCreated(_) => "api_key.created",
            Self::ApiKeyRevoked { .. } => "api_key.revoked",
            Self::AgentRegistered(_) => "agent.registered",
            Self::AgentRetired => "agent.retired",
            Self::AgentUpdated(_) => "agent.updated",
            Self::AgentHalted { .. } => "agent.halted",
            Self::JoinTokenCreated(_) => "join_token.created",
            Self::JoinTokenRedeemed { .. } => "join_token.redeemed",
            Self::KeyPlanned { .. } => "key.planned",
            Self::KeyBound { .. } => "key.bound",
            Self::KeyAbandoned { .. } => "key.abandoned",
            Self::KeyTaskDelayed { .. } => "key.task_delayed",
            Self::KeyGranted { .. } => "key.granted",
            Self::CertificatePlanned { .. } => "certificate.planned",
            Self::CertificateIssued { .. } => "certificate.issued",
            Self::CertificateRevoked { .. } => "certificate.revoked",
            Self::CertificateHeld(_) => "certificate.held",
            Self::CertificateReleased { .. } => "certificate.released",
            Self::BandChanged { .. } => "risk.band_changed",
            Self::PossessionMissing => "agent.impersonation_suspected",
            Self::RevocationChanged(_) => "revocation.changed",
        }
    }

    /// Kind code, as leaves carry it.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::DeploymentCreated { .. } => 1,
            Self::CaCreated { .. } => 2,
            Self::TenantCreated { .. } => 3,
            Self::CrlPublished { .. } => 4,
            Self::ApiKeyCreated(_) => 5,
            Self::ApiKeyRevoked { .. } => 6,
            Self::AgentRegistered(_) => 16,
            Self::AgentRetired => 17,
            Self::KeyPlanned { .. } => 18,
            Self::KeyBound { .. } => 19,
            Self::KeyAbandoned { .. } => 20,
            Self::CertificatePlanned { .. } => 21,
            Self::CertificateIssued { .. } => 22,
            Self::CertificateRevoked { .. } => 23,
            Self::CertificateHeld(_) => 24,
            Self::CertificateReleased { .. } => 25,
            Self::AgentUpdated(_) => 26,
            Self::AgentHalted { .. } => 27,
            Self::JoinTokenCreated(_) => 28,
            Self::JoinTokenRedeemed { .. } => 29,
            Self::KeyTaskDelayed { .. } => 30,
            Self::KeyGranted { .. } => 31,
            Self::BandChanged { .. } => 33,
            Self::PossessionMissing => 34,
            Self::RevocationChanged(_) => 48,
        }
    }
}

/// Why a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No randomness for the salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// It does not fit into a leaf.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The payload does not encode. A fault of this crate.
    #[error("the record's payload does not encode")]
    Payload,
}

impl Record {
    /// Name of this kind of record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.body {
            Body::Event(..) => "agent.event",
            Body::Control(control) => control.name(),
        }
    }

    /// A record that is not an event.
    #[must_use]
    pub fn control(time: UnixTime, agent: Option<AgentId>, serial: Option<Serial>, control: Control) -> Self {
        Self { time, agent, serial, by: None, body: Body::Control(Box::new(control)) }
    }

    /// The same record, asked for by somebody.
    #[must_use]
    pub fn asked_by(self, by: Option<ShortName>) -> Self {
        Self { by, ..self }
    }

    /// Makes the entry that is appended.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn seal(&self, entropy: &dyn Entropy) -> Result<Entry, RecordError> {
        let (kind, act, octets) = match &self.body {
            Body::Event(act, event) => {
                let octets = event.as_ref().map(serde_json::to_vec).transpose();
                (EVENT, Some((**act).clone()), octets.map_err(|_| RecordError::Payload)?)
            }
            Body::Control(control) => {
                let payload = Asked { by: self.by.clone(), record: control };
                let octets = serde_json::to_vec(&payload).map_err(|_| RecordError::Payload)?;
                (control.kind(), None, Some(octets))
            }
        };
        let payload = octets
            .map(|octets| {
                let mut salt = [0; 32];
                entropy.fill(&mut salt).map(|()| Payload { salt, octets })
            })
            .transpose()?;
        let commitment = payload.as_ref().map(Payload::commitment);
        let leaf = Leaf { kind, time: self.time, agent: self.agent, serial: self.serial, act, commitment };
        Ok(Entry { leaf: leaf.encode()?, payload })
    }

    /// Reads an entry back, and checks its payload against the leaf's commitment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says what does not fit.
    pub fn open(entry: &Entry) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
        let leaf = Leaf::decode(&entry.leaf).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        match (&entry.payload, leaf.commitment) {
            (Some(payload), Some(commitment)) if payload.commitment() == commitment => {}
            (None, _) => {}
            _ => return Err(corrupt("a payload does not match its leaf")),
        }
        let payload = entry.payload.as_ref().map(|p| p.octets.as_slice());
        let (by, body) = match (leaf.kind, leaf.act, payload) {
            (EVENT, Some(act), payload) => {
                let event = payload.map(serde_json::from_slice).transpose();
                let event = event.map_err(|_| corrupt("an event's payload does not decode"))?;
                (None, Body::Event(Box::new(act), event))
            }
            (kind, None, Some(octets)) => {
                let asked: Asked<Control> = serde_json::from_slice(octets)
                    .map_err(|_| corrupt("a record is of an unknown critical kind"))?;
                if asked.record.kind() != kind {
                    return Err(corrupt("a payload is of another kind than its leaf"));
                }
                (asked.by, Body::Control(Box::new(asked.record)))
            }
            _ => return Err(corrupt("a record lacks its payload")),
        };
        Ok(Self { time: leaf.time, agent: leaf.agent, serial: leaf.serial, by, body })
    }
}
