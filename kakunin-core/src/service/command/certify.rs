//! Giving agents certificates: for the first time, and again before one expires.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use super::enrol::redeemable;
use super::renewal::Replaced;
use crate::access::JoinTokenId;
use crate::agent::{AgentError, AgentState, Document};
use crate::event::ShortName;
use crate::id::{AgentId, HaltId, IssuerId, Serial};
use crate::issue::{self, Certificate, Issued, Prepared, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki};
use crate::log::record::{Control, KeyBinding, Renewal};
use crate::revoke::Cause;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::folding::standing_of;
use crate::x509::ca::Issuer;
use crate::x509::csr::CsrError;
use crate::x509::extensions::ModelHash;
use crate::x509::pem;

/// How an agent stood when its certificate was ordered. If that changed before it is issued, somebody
/// decided otherwise meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stood {
    state: AgentState,
    halt: Option<HaltId>,
    certificate: Option<Serial>,
    /// Also of a hold that was released again.
    void_before: u64,
}

impl Stood {
    pub(crate) fn of(entry: &AgentEntry) -> Self {
        let agent = &entry.row.agent;
        let (halt, void_before) = (entry.row.halt.map(|halt| halt.id), entry.row.void_before);
        Self { state: agent.state, halt, certificate: agent.certificate, void_before }
    }
}

/// One issuance: for whom, and in place of what.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) agent: AgentId,
    pub(crate) profile: Profile,
    pub(crate) by: Option<ShortName>,
    /// The attested model and the certificate that is replaced, if it is not the first.
    pub(crate) renews: Option<(ModelHash, Arc<Replaced>)>,
    /// The join token that is redeemed for it.
    pub(crate) join: Option<JoinTokenId>,
}

/// The key of a certificate in the making.
#[derive(Clone)]
pub(crate) enum Key {
    /// Made by the provider, ordered when the agent stood so.
    Made(KeyRef, Stood),
    /// The workload's, with the word of the one before it.
    Theirs(Option<KeyBinding>),
}

impl Key {
    /// Where it is, if not with the workload.
    pub(crate) fn held(&self) -> Option<KeyRef> {
        match self {
            Self::Made(key, _) => Some(key.clone()),
            Self::Theirs(_) => None,
        }
    }
}

/// A certificate in the making.
#[derive(Clone)]
pub(crate) struct Making {
    pub(crate) order: Arc<Order>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) serial: Serial,
    pub(crate) key: Key,
    pub(crate) spki: Spki,
}

/// What decides whether a planned certificate may still be issued once it is signed, and goes on record with it.
#[derive(Clone)]
pub(crate) struct Planned {
    stood: Stood,
    /// The document whose hash it pins: what is registered may change while it is signed.
    constraints: Option<Document>,
    renewal: Option<Renewal>,
}

/// How far it came with the first append.
pub(crate) enum Begun {
    /// All the way.
    Issued(Certificate),
    /// Its serial is on record; its signature is yet to come.
    Planned(Box<(Planned, Prepared)>),
}

/// Puts it on record that a key is to be made for an order. The answer: how the agent stood.
#[derive(Clone)]
pub(crate) struct PlanKey {
    pub(crate) order: Arc<Order>,
    pub(crate) planned: PlannedKeyId,
    pub(crate) algorithm: KeyAlgorithm,
}

impl Command for PlanKey {
    const NEED: Need = Need::Ordinary;
    type Answer = Stood;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Stood, Error> {
        let Self { order, planned, algorithm } = self;
        let stood = Stood::of(order.check(draft, None)?);
        draft.push(order.agent, None, Control::KeyPlanned { planned, algorithm })?;
        Ok(stood)
    }
}

/// Puts the plan on record; and the certificate with it, if its signature takes no longer than that (ADR 10).
impl Command for Making {
    const NEED: Need = Need::Key;
    type Answer = Begun;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Begun, Error> {
        let Self { order, issuer, signer, serial, key, spki } = self;
        let (rules, agent) = (draft.rules, order.agent);
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
        let standing = standing_of(entry, draft.judging, &draft.policy.policy, draft.time);
        let renewal = order.renews.as_ref().map(|(attested, old)| old.renewal(entry, attested, standing));
        let profile = order.profile.min(draft.policy.policy.ceiling(standing.1));
        let prepared =
            issue::prepare(&issuer, rules.place, &entry.row.agent, &spki, profile, serial, draft.now)?;
        let facts = *prepared.facts();
        let constraints = entry.row.agent.spec.constraints.clone();
        // Once, also if what it was redeemed for was cut off.
        let redeemed = order.join.filter(|_| entry.row.join.is_some());
        // Before anything is recorded: a decision that refuses leaves nothing behind.
        let signature = sign_at_once(&prepared, &issuer, &*signer)?;
        draft.may_bind(spki.key_id(), agent)?;
        if let Some(id) = redeemed {
            draft.push(agent, None, Control::JoinTokenRedeemed { id })?;
        }
        draft.push(agent, None, Control::KeyBound { key, key_id: spki.key_id(), binding })?;
        draft.push(agent, Some(serial), Control::CertificatePlanned { facts, profile })?;
        let planned = Planned { stood, constraints, renewal };
        let Some(signature) = signature else {
            return Ok(Begun::Planned(Box::new((planned, prepared))));
        };
        let signed = prepared.assemble_unchecked(&signature);
        Ok(Begun::Issued(Conclude { order, planned, signed }.decide(draft)?))
    }
}

/// Puts the signed certificate on record, if the agent still stands as it did.
#[derive(Clone)]
pub(crate) struct Conclude {
    pub(crate) order: Arc<Order>,
    pub(crate) planned: Planned,
    pub(crate) signed: Certificate,
}

impl Command for Conclude {
    const NEED: Need = Need::Ordinary;
    type Answer = Certificate;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Certificate, Error> {
        let Self { order, planned, signed } = self;
        let entry = order.unchanged(draft, planned.stood)?;
        // Also what was refused while it was signed: an approval empties the list.
        let renewal = planned.renewal.map(|renewal| entry.usage.seen_in(renewal));
        let issued = |renewal| Control::CertificateIssued {
            facts: signed.facts,
            certificate: pem::encode(pem::CERTIFICATE, &signed.der),
            reinstates: false,
            constraints: planned.constraints,
            renewal,
        };
        order.conclude(draft, signed.facts, renewal, issued)?;
        Ok(signed)
    }
}

/// The CA's signature, if it is made in microseconds in this process; RSA takes long enough for others to wait, and
/// services take longer.
fn sign_at_once(
    prepared: &Prepared,
    issuer: &Issuer,
    signer: &dyn Signer,
) -> Result<Option<Signature>, SignError> {
    if issuer.algorithm() != KeyAlgorithm::P256 || !signer.is_in_process() {
        return Ok(None);
    }
    let mut context = Context::from_waker(Waker::noop());
    match signer.sign(prepared.to_be_signed()).as_mut().poll(&mut context) {
        Poll::Ready(signature) => signature.map(Some),
        // It waits for something all the same: then nobody waits with it.
        Poll::Pending => Ok(None),
    }
}

impl Order {
    /// The agent, if it may be given this certificate now, for that key if there is one already.
    pub(crate) fn check<'d>(
        &self,
        draft: &'d Draft<'_>,
        key: Option<IssuerId>,
    ) -> Result<&'d AgentEntry, Error> {
        let entry = known(draft, &self.agent)?;
        let state = entry.row.agent.state;
        let trusted = matches!(state, AgentState::Pending | AgentState::Active);
        // Also by whoever redeemed it, if nothing came of that.
        let again = entry.row.redeemed.filter(|old| old.key_id == key).map(|old| old.facts);
        let redeems = |id| {
            let token = entry.row.join.or(again).filter(|token| token.id == id && trusted);
            token.is_some_and(|token| {
                redeemable(&token, draft.now) && token.key.is_none_or(|key| draft.rules.api_keys.has(&key))
            })
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
                return Err(Error::Exists(
                    "the agent has a certificate; fetch it by its serial number, or renew it",
                ));
            }
            (false, _) => self.may_begin(draft, entry)?,
        }
        draft.may_be_certified(entry)?;
        self.attested(entry)?;
        if entry.row.plan.is_some() {
            return Err(Error::Exists("a certificate for this agent is being issued"));
        }
        Ok(entry)
    }

    /// That a first certificate puts nobody in the place of a suspended agent of the same name. Whoever has a token
    /// hears nothing of other agents.
    fn may_begin(&self, draft: &Draft<'_>, entry: &AgentEntry) -> Result<(), Error> {
        let begins = draft.may_begin(entry);
        if self.join.is_some() { begins.map_err(|_| Error::JoinToken) } else { begins }
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
            self.may_begin(draft, entry)?;
            // Its score may have crossed meanwhile.
            draft.may_be_certified(entry)?;
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
        let issued = issued(renewal.map(|renewal| Renewal { until, ..renewal }));
        draft.push(self.agent, Some(facts.serial), issued)?;
        if let Some(old) = old.filter(|_| until.is_none()) {
            let superseded = old.revocation(Cause::Superseded, draft.now);
            draft.revoke(superseded, None)?;
        }
        Ok(())
    }
}
