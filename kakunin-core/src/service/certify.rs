//! Giving agents certificates: for the first time, and again before one expires.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::cas::Ca;
use super::draft::{Draft, revocation};
use super::enrol::redeemable;
use super::error::Error;
use super::lifecycle::known;
use super::projection::AgentEntry;
use super::renewal::{Replaced, longest};
use super::repeat;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::access::JoinTokenId;
use crate::agent::{AgentError, AgentState, Document};
use crate::event::ShortName;
use crate::id::{AgentId, HaltId, IssuerId, Serial, TenantId, uuid_v7};
use crate::issue::{self, Certificate, Issued, Prepared, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, SignError, Signature, Spki};
use crate::log::record::{Control, KeyBinding, Renewal};
use crate::revoke::Cause;
use crate::x509::csr::{CsrError, Proven};
use crate::x509::extensions::ModelHash;
use crate::x509::pem;

/// Where an agent's private key is, or shall be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeySource<'a> {
    /// The deployment's provider makes it and keeps it.
    Provider(KeyAlgorithm),
    /// The workload keeps it, and shows possession with a PKCS#10 request in DER or PEM. Names and
    /// extensions come from the registration, never from the request.
    Request(&'a [u8]),
    /// The same, in place of a certificate: with a signature in X.509 form by the key of that certificate
    /// over [`Proven::binding_text`].
    Bound(&'a [u8], &'a [u8]),
}

/// RSA-2048 in the deployment's provider.
impl Default for KeySource<'_> {
    fn default() -> Self {
        Self::Provider(KeyAlgorithm::Rsa2048)
    }
}

/// How an agent stood when its certificate was ordered. If that changed before it is issued, somebody
/// decided otherwise meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stood {
    state: AgentState,
    halt: Option<HaltId>,
    certificate: Option<Serial>,
    /// Also of a hold that was released again.
    void_before: u64,
}

impl Stood {
    fn of(entry: &AgentEntry) -> Self {
        let agent = &entry.row.agent;
        let (halt, void_before) = (entry.row.halt.map(|halt| halt.id), entry.row.void_before);
        Self { state: agent.state, halt, certificate: agent.certificate, void_before }
    }
}

/// One issuance: for whom, and in place of what.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) tenant: Arc<Tenant>,
    pub(super) agent: AgentId,
    pub(super) profile: Profile,
    pub(super) by: Option<ShortName>,
    /// The attested model and the certificate that is replaced, if it is not the first.
    pub(super) renews: Option<(ModelHash, Arc<Replaced>)>,
    /// The join token that is redeemed for it.
    pub(super) join: Option<JoinTokenId>,
}

/// The key of a certificate in the making.
enum Key {
    /// Made by the provider, ordered when the agent stood so.
    Made(KeyRef, Stood),
    /// The workload's, with the word of the one before it.
    Theirs(Option<KeyBinding>),
}

impl Key {
    /// Where it is, if not with the workload.
    fn held(&self) -> Option<KeyRef> {
        match self {
            Self::Made(key, _) => Some(key.clone()),
            Self::Theirs(_) => None,
        }
    }
}

/// A certificate in the making.
struct Making {
    order: Arc<Order>,
    ca: Arc<Ca>,
    serial: Serial,
    key: Key,
    spki: Spki,
}

/// What decides whether a planned certificate may still be issued once it is signed, and goes on record with it.
struct Planned {
    stood: Stood,
    /// The document whose hash it pins: what is registered may change while it is signed.
    constraints: Option<Document>,
    renewal: Option<Renewal>,
}

/// How far it came with the first append.
enum Begun {
    /// All the way.
    Issued(Certificate),
    /// Its serial is on record; its signature is yet to come.
    Planned(Box<(Planned, Prepared)>),
}

impl Making {
    /// Puts the plan on record; and the certificate with it, if its signature takes no longer than that (ADR 10).
    fn begin(self, draft: &mut Draft<'_>) -> Result<Begun, Error> {
        let Self { order, ca, serial, key, spki } = self;
        let (inner, agent) = (draft.inner, order.agent);
        // With a key of the provider, it was checked when that was planned.
        let (entry, key, binding) = match key {
            Key::Made(key, stood) => {
                let entry = order.unchanged(draft, stood)?;
                order.attested(entry)?;
                (entry, Some(key), None)
            }
            Key::Theirs(binding) => {
                let entry = order.check(draft, Some(spki.key_id()))?;
                if draft.certificates.has_key(&spki.key_id()) {
                    return Err(CsrError::Duplicate.into());
                }
                (entry, None, binding)
            }
        };
        if let Some((_, old)) = &order.renews {
            old.is_due(draft, entry)?;
        }
        let stood = Stood::of(entry);
        let standing = inner.standing_of(entry, draft.time);
        let renewal = order.renews.as_ref().map(|(attested, old)| old.renewal(entry, attested, standing));
        let profile = renewal.as_ref().map_or(order.profile, |r| order.profile.min(longest(r.band)));
        let prepared =
            issue::prepare(&ca.issuer, &inner.place, &entry.row.agent, &spki, profile, serial, draft.now)?;
        let facts = *prepared.facts();
        let constraints = entry.row.agent.spec.constraints.clone();
        // Once, also if what it was redeemed for was cut off.
        let redeemed = order.join.filter(|_| entry.row.join.is_some());
        // Before anything is recorded: a decision that refuses leaves nothing behind.
        let signature = sign_at_once(&prepared, &ca)?;
        inner.bound.claim(spki.key_id(), agent)?;
        if let Some(id) = redeemed {
            draft.push(agent, None, Control::JoinTokenRedeemed { id })?;
        }
        draft.push(agent, None, Control::KeyBound { key, key_id: spki.key_id(), binding })?;
        draft.push(agent, Some(serial), Control::CertificatePlanned { facts, profile })?;
        let planned = Planned { stood, constraints, renewal };
        let Some(signature) = signature else {
            return Ok(Begun::Planned(Box::new((planned, prepared))));
        };
        let certificate = prepared.assemble_unchecked(&signature);
        planned.conclude(&order, draft, &certificate)?;
        Ok(Begun::Issued(certificate))
    }
}

impl Planned {
    /// Puts the signed certificate on record, if the agent still stands as it did.
    fn conclude(self, order: &Order, draft: &mut Draft<'_>, signed: &Certificate) -> Result<(), Error> {
        let entry = order.unchanged(draft, self.stood)?;
        // Also what was refused while it was signed: an approval empties the list.
        let renewal = self.renewal.map(|renewal| entry.usage.seen_in(renewal));
        let issued = |renewal| Control::CertificateIssued {
            facts: signed.facts,
            certificate: pem::encode(pem::CERTIFICATE, &signed.der),
            reinstates: false,
            constraints: self.constraints,
            renewal,
        };
        order.conclude(draft, signed.facts, renewal, issued)
    }
}

/// The CA's signature, if it is made in microseconds in this process; RSA takes long enough for others to wait, and
/// services take longer.
fn sign_at_once(prepared: &Prepared, ca: &Ca) -> Result<Option<Signature>, SignError> {
    if ca.issuer.algorithm() != KeyAlgorithm::P256 || !ca.signer.is_in_process() {
        return Ok(None);
    }
    let mut context = Context::from_waker(Waker::noop());
    match ca.signer.sign(prepared.to_be_signed()).as_mut().poll(&mut context) {
        Poll::Ready(signature) => signature.map(Some),
        // It waits for something all the same: then nobody waits with it.
        Poll::Pending => Ok(None),
    }
}

impl Kakunin {
    /// Gives an agent a certificate for a key from `source`, or once more the one that the same request got less than
    /// [`REPEATABLE`](super::REPEATABLE) ago: key and serial are recorded as planned
    /// before they exist, or together with what is made of them, so that a crash leaves nothing unexplained.
    ///
    /// # Errors
    /// [`Error::Exists`] if it has one that is not revoked or expired; [`Error::Suspended`] if it was halted, revoked
    /// or held: see [`Kakunin::reinstate`]; [`Error::Agent`] if it is retired; [`Error::Csr`], [`Error::Sign`] and what the store says.
    pub async fn certify(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let order = Order { tenant, agent: *agent, profile, by: self.by.clone(), renews: None, join: None };
        self.inner.fulfil(&Arc::new(order), source).await
    }
}

impl Inner {
    pub(super) async fn fulfil(
        &self,
        order: &Arc<Order>,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        // Before a key is made for it.
        self.cas.of(&order.tenant.id, self.now())?;
        let (request, binding) = match source {
            KeySource::Provider(algorithm) => return self.with_new_key(order, algorithm).await,
            KeySource::Request(request) => (Proven::read(request)?, None),
            KeySource::Bound(request, signature) => (Proven::read(request)?, Some(signature)),
        };
        let _turn = self.turns.of(request.key.key_id()).await;
        let refused = match self.with_their_key(order, &request, binding).await {
            Err(refused) if repeat::may_follow(&refused) => refused,
            issued => return issued,
        };
        // It may have been asked before, and the answer lost.
        if let Some(certificate) = self.answered_before(order, &request, binding).await? {
            return Ok(certificate);
        }
        if !self.was_cut_off(order, &request).await? {
            return Err(refused);
        }
        self.abandon(&order.tenant, order.agent).await?;
        self.with_their_key(order, &request, binding).await
    }

    async fn with_their_key(
        &self,
        order: &Arc<Order>,
        request: &Proven,
        binding: Option<&[u8]>,
    ) -> Result<Certificate, Error> {
        let binding = match &order.renews {
            Some((_, replaced)) => Some(replaced.binding(request, binding)?),
            None => None,
        };
        self.issue(order, Key::Theirs(binding), &request.key).await
    }

    async fn with_new_key(&self, order: &Arc<Order>, algorithm: KeyAlgorithm) -> Result<Certificate, Error> {
        let planned = PlannedKeyId::new(uuid_v7(self.now(), &*self.parts.entropy)?);
        let record = Control::KeyPlanned { planned: planned.clone(), algorithm };
        let to_check = order.clone();
        let stood = self
            .decide(&order.tenant, order.by.clone(), move |draft| {
                let stood = Stood::of(to_check.check(draft, None)?);
                draft.push(to_check.agent, None, record)?;
                Ok(stood)
            })
            .await?;
        let (key, spki) = match self.make_key(&planned, algorithm).await {
            Ok(made) => made,
            Err(error) => {
                // The error that matters is the first one.
                let _ = self.abandon(&order.tenant, order.agent).await;
                return Err(error);
            }
        };
        let issued = self.issue(order, Key::Made(key.clone(), stood), &spki).await;
        if issued.is_err() && !matches!(self.abandon(&order.tenant, order.agent).await, Ok(true)) {
            // Somebody gave the plan up before, and may have looked for the key before it was there.
            let _ = self.parts.keys.retire(&key).await;
        }
        issued
    }

    async fn make_key(
        &self,
        planned: &PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<(KeyRef, Spki), Error> {
        let key = self.parts.keys.generate(planned, algorithm).await?;
        let spki = self.parts.keys.open(&key).await?.public_key().clone();
        Ok((key, spki))
    }

    async fn issue(&self, order: &Arc<Order>, key: Key, spki: &Spki) -> Result<Certificate, Error> {
        let serial = Serial::generate(&*self.parts.entropy)?;
        // Before it exists, so that a certificate is found from the moment it is in the log.
        self.serials.remember(serial, &order.tenant.id);
        let ca = self.cas.of(&order.tenant.id, self.now())?;
        let held = key.held();
        let making = Making { order: order.clone(), ca: ca.clone(), serial, key, spki: spki.clone() };
        let begin = move |draft: &mut Draft<'_>| making.begin(draft);
        let begun = self.decide(&order.tenant, order.by.clone(), begin).await?;
        let (planned, prepared) = match begun {
            Begun::Issued(certificate) => return Ok(Certificate { key: held, ..certificate }),
            Begun::Planned(planned) => *planned,
        };
        let certificate = match prepared.sign(&ca.issuer, &*ca.signer).await {
            Ok(certificate) => Certificate { key: held, ..certificate },
            Err(error) => {
                let _ = self.abandon(&order.tenant, order.agent).await;
                return Err(error.into());
            }
        };
        let (concluded, signed) = (order.clone(), certificate.clone());
        let conclude = move |draft: &mut Draft<'_>| planned.conclude(&concluded, draft, &signed);
        if let Err(error) = self.decide(&order.tenant, order.by.clone(), conclude).await {
            let _ = self.abandon(&order.tenant, order.agent).await;
            return Err(error);
        }
        Ok(certificate)
    }

    /// Gives up what was planned for an agent: the key is retired, the serial refused for ever.
    /// Says whether there was anything.
    pub(super) async fn abandon(&self, tenant: &Tenant, agent: AgentId) -> Result<bool, Error> {
        let planned = self.decide_reserved(tenant, None, move |draft| abandon(draft, agent)).await?;
        self.run_key_tasks(tenant).await;
        Ok(planned)
    }
}

/// Records that what was planned for an agent is given up.
pub(super) fn abandon(draft: &mut Draft<'_>, agent: AgentId) -> Result<bool, Error> {
    let Some(plan) = known(draft, &agent)?.row.plan.clone() else {
        return Ok(false);
    };
    if let Some((facts, _)) = plan.facts {
        let revocation = revocation(&facts, Cause::Abandoned, draft.now);
        draft.revoke(revocation, None)?;
    }
    if let Some(planned) = &plan.planned {
        draft.push(agent, None, Control::KeyAbandoned { planned: planned.clone() })?;
    }
    Ok(true)
}

impl Order {
    /// The agent, if it may be given this certificate now, for that key if there is one already.
    fn check<'d>(&self, draft: &'d Draft<'_>, key: Option<IssuerId>) -> Result<&'d AgentEntry, Error> {
        let entry = known(draft, &self.agent)?;
        let state = entry.row.agent.state;
        let trusted = matches!(state, AgentState::Pending | AgentState::Active);
        // Also by whoever redeemed it, if nothing came of that.
        let again = entry.row.redeemed.filter(|old| old.key_id == key).map(|old| old.facts);
        let redeems = |id| {
            let token = entry.row.join.or(again).filter(|token| token.id == id && trusted);
            token.is_some_and(|token| redeemable(&token, draft.now))
        };
        if !self.join.is_none_or(redeems) {
            return Err(Error::JoinToken);
        }
        match (self.renews.is_some(), state) {
            (true, AgentState::Active) => {}
            (true, _) => return Err(AgentError::State { state, step: "renew its certificate" }.into()),
            (false, AgentState::Retired) => {
                return Err(AgentError::State { state, step: "be given a certificate" }.into());
            }
            (false, AgentState::Suspended) => return Err(Error::Suspended(self.agent)),
            (false, _) if draft.standing(entry).is_some() => {
                return Err(Error::Exists("the agent has a certificate; revoke it, or renew it"));
            }
            (false, _) => {}
        }
        self.attested(entry)?;
        if entry.row.plan.is_some() {
            return Err(Error::Exists("a certificate for this agent is being issued"));
        }
        Ok(entry)
    }

    fn attested(&self, entry: &AgentEntry) -> Result<(), AgentError> {
        let registered = &entry.row.agent.spec.model_hash;
        if self.renews.as_ref().is_some_and(|(attested, _)| attested != registered) {
            return Err(AgentError::Attestation);
        }
        let state = entry.row.agent.state;
        if self.renews.as_ref().is_some_and(|(_, old)| entry.row.agent.certificate != Some(old.serial)) {
            return Err(AgentError::State { state, step: "renew a certificate that was replaced meanwhile" });
        }
        Ok(())
    }

    /// The agent, if nobody retired, stopped or suspended it since.
    fn unchanged<'d>(&self, draft: &'d Draft<'_>, stood: Stood) -> Result<&'d AgentEntry, Error> {
        let entry = known(draft, &self.agent)?;
        if Stood::of(entry) == stood {
            return Ok(entry);
        }
        let state = entry.row.agent.state;
        Err(AgentError::State { state, step: "be given the certificate that was ordered before" }.into())
    }

    /// Records the certificate, and the end of the one it replaces, or until when that stands beside it.
    fn conclude(
        &self,
        draft: &mut Draft<'_>,
        facts: Issued,
        renewal: Option<Renewal>,
        issued: impl FnOnce(Option<Renewal>) -> Control,
    ) -> Result<(), Error> {
        let entry = known(draft, &self.agent)?;
        let state = entry.row.agent.state;
        let planned = entry.row.plan.as_ref().and_then(|p| p.facts).map(|(facts, _)| facts);
        // The plan may have been swept meanwhile.
        if planned != Some(facts) {
            return Err(AgentError::State { state, step: "be given a certificate" }.into());
        }
        let old = draft.standing(entry).map(|c| c.facts).filter(|_| self.renews.is_some());
        // At most two stand.
        draft.end_grace(&self.agent)?;
        let until = old.and_then(|old| draft.grace(&old, &facts));
        let approved = renewal.as_ref().is_some_and(Renewal::is_approved);
        let issued = issued(renewal.map(|renewal| Renewal { until, ..renewal }));
        draft.push(self.agent, Some(facts.serial), issued)?;
        draft.certified(&self.agent, approved);
        if let Some(old) = old.filter(|_| until.is_none()) {
            let superseded = revocation(&old, Cause::Superseded, draft.now);
            draft.revoke(superseded, None)?;
        }
        Ok(())
    }
}
