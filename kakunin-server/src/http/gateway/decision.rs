//! What every form of the check shares: the verifier, the decision, and its record.

use std::sync::{PoisonError, RwLock};

use kakunin_core::error::StoreError;
use kakunin_core::event::{Attribution, Event, Outcome, ShortName};
use kakunin_core::id::Serial;
use kakunin_core::service::{Error, EventStatus, Kakunin};
use kakunin_core::time::UnixTime;
use kakunin_verify::denied::Code;
use kakunin_verify::possession::{Authorities, AuthorityError, Nonces};
use kakunin_verify::{Denied, SetupError, TrustAnchor, VerifiedAgent, Verifier};
use quick_cache::sync::Cache;

use crate::http::app::{ApiOptions, App};
use crate::http::counts::STORAGE_REFUSED;
use crate::http::error::ApiError;

/// Room for nonces, however high a rate is configured: about 1 GB.
const MOST_NONCES: usize = 16 * 1024 * 1024;

/// What the check needs beside the deployment.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// With how many issuing CAs it was made.
    verifier: RwLock<(u32, Verifier)>,
    pub(crate) nonces: Nonces,
    /// Under which names agents reach this server.
    pub(super) us: Authorities,
    /// The day on which the owner of a serial number was told that somebody else uses it.
    pub(super) alerted: Cache<Serial, u64>,
}

impl Gateway {
    pub(crate) fn new(kakunin: &Kakunin, options: &ApiOptions, now: UnixTime) -> Result<Self, SetupError> {
        let verifier = RwLock::new(verifier(kakunin, now)?);
        let rate = usize::try_from(options.key_rate.get()).unwrap_or(usize::MAX);
        let capacity = Nonces::capacity_for(rate).clamp(Nonces::DEFAULT_CAPACITY, MOST_NONCES);
        // Signatures have seconds. Where nobody served before, nothing was used up before in this one.
        let since = if options.new_deployment { now.whole_secs() } else { now };
        let us = names(kakunin, options).unwrap_or_else(|error| {
            tracing::error!(%error, "no signed request is accepted: see --authority");
            Authorities::none()
        });
        let nonces = Nonces::new(capacity, since);
        Ok(Self { verifier, nonces, us, alerted: Cache::new(16_384) })
    }

    /// One that knows every authority of the deployment, also those that were made since the last call.
    pub(super) fn verifier(&self, kakunin: &Kakunin, now: UnixTime) -> Verifier {
        let known = self.verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.0 == kakunin.authorities_made() {
            return known.1;
        }
        // Without it, agents of the new authority are refused, and others are not.
        let fresh = verifier(kakunin, now).unwrap_or_else(|error| {
            tracing::error!(%error, "the new authority is not known to the gateway check; restart the server");
            (kakunin.authorities_made(), known.1)
        });
        self.verifier.write().unwrap_or_else(PoisonError::into_inner).clone_from(&fresh);
        fresh.1
    }
}

/// The public URL's host, and whatever else the configuration names.
fn names(kakunin: &Kakunin, options: &ApiOptions) -> Result<Authorities, AuthorityError> {
    let public = kakunin.place().public_url.parse();
    if public.is_err() {
        tracing::warn!("the public URL names no host; agents sign for what --authority names");
    }
    let more = options.authorities.iter().cloned();
    Authorities::of(public.into_iter().chain(more).collect())
}

fn verifier(kakunin: &Kakunin, now: UnixTime) -> Result<(u32, Verifier), SetupError> {
    // First the number: an authority that is made meanwhile is looked for once more.
    let (made, place) = (kakunin.authorities_made(), kakunin.place());
    let mut builder = Verifier::builder(kakunin.revocations()).arc(place.arc.clone());
    for root in kakunin.roots() {
        builder = builder.anchor(TrustAnchor::new(root.as_der(), place.trust_domain.clone())?);
    }
    for ca in kakunin.authorities().iter().filter(|ca| now <= ca.issuer.not_after()) {
        builder = match &ca.tenant {
            Some(tenant) => builder.issuer_of(ca.issuer.as_der(), tenant.clone()),
            None => builder.issuer(ca.issuer.as_der()),
        };
    }
    Ok((made, builder.build(now)?))
}

/// Who asks, and whether it was shown.
pub(super) struct Identified {
    pub(super) agent: VerifiedAgent,
    pub(super) attribution: Attribution,
    /// The enforcement point that reports the decision.
    pub(super) reporter: Kakunin,
}

/// The deployment, as this server's own check reports to it.
pub(super) fn itself(app: &App) -> Kakunin {
    ShortName::try_from("gateway".to_owned())
        .map_or_else(|_| app.kakunin.clone(), |name| app.kakunin.acting_as(name))
}

/// Decides whether the agent may do `action`, if there is one way to read its `target`, and puts that on record as
/// `event`, if the action is one. Gives the index of the record.
pub(super) async fn decide(
    app: &App,
    who: &Identified,
    action: &str,
    target: Result<(), Denied>,
    event: Option<Event>,
) -> Result<Option<u64>, ApiError> {
    let permission = who.agent.authorize(action, app.now()).and(target);
    let recorded = record(app, who, event, permission.as_ref().err()).await?;
    permission.map_err(|denied| refusal(&denied))?;
    Ok(recorded)
}

/// Counts a request of an agent; with a certificate that does not stand any more it uses up nothing of the agent's.
pub(super) fn count(app: &App, agent: &VerifiedAgent) -> Result<(), ApiError> {
    let gone = agent.recheck(app.now()).is_err_and(|denied| is_gone(denied.kind()));
    if gone { app.limits.gone(agent.agent()) } else { app.limits.agent(agent.agent()) }
}

const fn is_gone(code: Code) -> bool {
    matches!(code, Code::AgentRevoked | Code::AgentExpired | Code::AgentInactive)
}

/// Puts the decision on record, in the agent's own tenant. An event that takes the identity away, or finds
/// it gone, turns a permission into a refusal.
async fn record(
    app: &App,
    who: &Identified,
    event: Option<Event>,
    denied: Option<&Denied>,
) -> Result<Option<u64>, ApiError> {
    let Some(mut event) = event else { return Ok(None) };
    if let Some(denied) = denied {
        event.outcome = Outcome::Denied;
        // Also of one that is refused already because its certificate is gone.
        event.out_of_scope = !who.agent.scope().permits(&event.action);
        event.occurred_at = is_gone(denied.kind()).then(|| app.now());
    }
    let observed = match who.reporter.observe(who.agent.tenant(), event).await {
        // It is refused all the same, and the server's log and metrics say that there is no room.
        Err(Error::Store(StoreError::Full)) if denied.is_some() => {
            STORAGE_REFUSED.count();
            return Ok(None);
        }
        observed => observed,
    };
    let observed = observed.map_err(|error| ApiError::from(error).at_gateway())?;
    if denied.is_none() && (observed.revoked || observed.status == EventStatus::NotAccepted) {
        who.agent.recheck(app.now()).map_err(|denied| refusal(&denied))?;
    }
    Ok(observed.index)
}

/// A refusal by the codes that gateways of this kind know.
pub(super) fn refusal(denied: &Denied) -> ApiError {
    let code = match denied.kind() {
        Code::CertificateMissing => "missing_cert_serial",
        _ => denied.code(),
    };
    let error = ApiError::gateway(denied.http_status(), code, denied.to_string());
    // A second makes room, if the one who asks too much does not.
    if denied.kind() == Code::PossessionUnavailable { error.retry_after(1) } else { error }
}
