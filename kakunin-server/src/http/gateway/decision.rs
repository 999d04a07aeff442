//! What every form of the check shares: the decision, and its record.

use kakunin_core::error::StoreError;
use kakunin_core::event::{Attribution, Event, Name, Outcome, ShortName};
use kakunin_core::scope::Action;
use kakunin_core::service::{Error, Kakunin};
use kakunin_verify::denied::Code;
use kakunin_verify::{Denied, Guard, Refused as Unpermitted, VerifiedAgent};

use super::dry_run::DryRunOf;
use super::refusal::{Refused, refusal};
use crate::http::app::App;
use crate::http::counts::{REFUSALS_UNRECORDED, STORAGE_REFUSED};
use crate::http::error::ApiError;

/// Who asks, and whether it was shown.
pub(super) struct Identified {
    pub(super) agent: VerifiedAgent,
    pub(super) attribution: Attribution,
    /// Whether it was shown at all: a serial number shows nothing.
    pub(super) is_shown: bool,
    /// The enforcement point that reports the decision.
    pub(super) reporter: Kakunin,
    /// The nonce of the signature that showed it: the record of the decision is what it is good for, once.
    pub(super) nonce: Option<Name>,
}

/// The deployment, as this server's own check reports to it.
pub(super) fn itself(app: &App) -> Kakunin {
    ShortName::try_from("gateway".to_owned())
        .map_or_else(|_| app.kakunin.clone(), |name| app.kakunin.acting_as(name))
}

/// What is asked for.
pub(super) struct Question<'a> {
    pub(super) action: &'a str,
    /// Whether there is one way to read the target.
    pub(super) target: Result<(), Denied>,
    /// What goes on record where `action` is none; otherwise nothing does.
    pub(super) instead: Option<Action>,
}

/// What became of the record of a decision.
enum Kept {
    /// What is asked for is no action, and nothing stands for it.
    Nothing,
    At(Option<u64>),
    /// There was no room.
    Lost,
}

/// Decides whether the agent may, and puts that on record in its own tenant, with what `note` adds; where a dry run lets a
/// refusal through, the record says so. Gives the index of the record.
pub(super) async fn decide(
    app: &App,
    who: &Identified,
    question: Question<'_>,
    dry_run: &DryRunOf<'_>,
    note: impl FnOnce(&mut Event),
) -> Result<Option<u64>, Refused> {
    let shown = Some(&who.agent).filter(|_| who.is_shown);
    let guard = Guard::new(app.clock.clone());
    let mut decided =
        guard.decide(&who.agent, question.action).attributed(who.attribution).and(question.target);
    if let Some(action) = question.instead {
        decided = decided.recorded_as(action);
    }
    let spared = decided.denied().filter(|_| dry_run.spares(shown)).map(|denied| refusal(denied).code());
    let mut kept = Kept::Nothing;
    let recorded = decided.record(async |mut event| {
        note(&mut event);
        // Whoever reads the log has to know that it was done all the same.
        event.details =
            spared.and_then(|code| format!("{{\"dry_run\":true,\"would_deny\":\"{code}\"}}").parse().ok());
        kept = record(who, event).await?;
        Ok::<_, Error>(())
    });
    let decided = recorded.await;
    let (index, stays) = match kept {
        Kept::At(index) => (index, false),
        Kept::Nothing => (None, false),
        Kept::Lost => (None, true),
    };
    match decided {
        Ok(_) => Ok(index),
        Err(Unpermitted::Denied(denied)) => {
            Err(Refused { error: Box::new(refusal(&denied)), shown: shown.cloned(), index, stays })
        }
        // Another process saw it first, or this one before it was started.
        Err(Unpermitted::NotRecorded(Error::NonceUsed)) => {
            Err(refusal(&Denied::new(Code::PossessionReplayed)).into())
        }
        Err(Unpermitted::NotRecorded(error)) => {
            Err(Refused { stays: true, ..ApiError::from(error).at_gateway().into() })
        }
    }
}

async fn record(who: &Identified, event: Event) -> Result<Kept, Error> {
    let denied = event.outcome == Outcome::Denied;
    let tenant = who.reporter.tenant(who.agent.tenant());
    let observed = match &who.nonce {
        Some(nonce) => tenant.observe_once(nonce.clone(), event).await,
        None => tenant.observe(event).await,
    };
    match observed {
        // It is refused all the same, and the metrics say what is missing in the log.
        Err(error @ (Error::QueueFull | Error::Store(StoreError::Full | StoreError::Vault(_)))) if denied => {
            REFUSALS_UNRECORDED.count();
            if matches!(error, Error::Store(StoreError::Full)) {
                STORAGE_REFUSED.count();
            }
            Ok(Kept::Lost)
        }
        observed => observed.map(|observed| Kept::At(observed.index)),
    }
}

/// Counts a request of an agent; with a certificate that does not stand any more it uses up nothing of the agent's.
pub(super) fn count(app: &App, agent: &VerifiedAgent) -> Result<(), ApiError> {
    let gone = agent.recheck(app.now()).is_err_and(|denied| denied.kind().is_end());
    if gone { app.limits.gone(agent.agent()) } else { app.limits.agent(agent.agent()) }
}
