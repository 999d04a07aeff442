//! What is put into an agent's life: acts of its own, and acts that were added.

use kakunin_core::event::{Amount, Currency, Effect, Name, Outcome};
use kakunin_core::scope::{Action, ScopeSet};
use kakunin_core::time::UnixTime;

use crate::evaluate::call::Call;

/// One act, of the agent's own work or added to it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) call: Call,
    pub(super) added: bool,
}

impl Act {
    pub(super) const fn own(call: Call) -> Self {
        Self { call, added: false }
    }

    pub(super) const fn added(call: Call) -> Self {
        Self { call, added: true }
    }
}

impl Call {
    pub(super) fn is_done(&self) -> bool {
        self.outcome == Outcome::Ok && !self.outside
    }

    pub(super) fn effect(&self) -> Effect {
        Effect::of(&self.action)
    }

    /// The same, at another time and in another session.
    pub(super) fn again(&self, at: UnixTime, session: &str) -> Self {
        Self { at, session: name(session), ..self.clone() }
    }
}

/// A new act; refused if the scope does not cover it.
pub(super) fn act(scope: &ScopeSet, action: &Action, at: UnixTime, session: &str) -> Call {
    let outside = !scope.permits(action);
    Call {
        at,
        seq: 0,
        action: action.clone(),
        outcome: if outside { Outcome::Denied } else { Outcome::Ok },
        outside,
        auth_failure: false,
        session: name(session),
        target: None,
        counterparty: None,
        amount: None,
    }
}

/// A name; `None` if it is none.
pub(super) fn name(text: &str) -> Option<Name> {
    text.parse().ok()
}

/// An amount of minor units.
pub(super) fn money(minor: u64) -> Option<Amount> {
    Some(Amount { minor, currency: Currency::try_from("USD".to_owned()).ok()? })
}

/// The actions that a scope names one by one.
pub(super) fn actions(scope: &ScopeSet) -> Vec<Action> {
    scope.iter().filter_map(|scope| Action::parse(scope.as_str()).ok()).collect()
}
