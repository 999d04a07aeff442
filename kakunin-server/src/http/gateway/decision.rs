//! What every form of the check shares: the decision, and its record.

use kakunin_core::error::StoreError;
use kakunin_core::event::{Attribution, Event, Outcome, ShortName};
use kakunin_core::service::{Error, EventStatus, Kakunin};
use kakunin_verify::denied::Code;
use kakunin_verify::{Denied, VerifiedAgent};

use super::refusal::refusal;
use crate::http::app::App;
use crate::http::counts::STORAGE_REFUSED;
use crate::http::error::ApiError;

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
