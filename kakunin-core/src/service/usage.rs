//! Which actions an agent used and was refused since its certificate was issued: what whoever renews it
//! should see.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::Outcome;
use crate::scope::{Action, Scope, ScopeSet};

/// Most actions of either kind that are told apart.
const MAX_ACTIONS: usize = 64;

/// Shared with the copies that drafts make, and copied only when an action is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Usage {
    used: BTreeSet<Action>,
    refused: BTreeSet<Action>,
    /// Whether there were more than are kept.
    more: bool,
}

impl Usage {
    pub(super) fn note(this: &mut Arc<Self>, action: &Action, outcome: Outcome) {
        let refused = outcome == Outcome::Denied;
        let known = if refused { &this.refused } else { &this.used };
        let full = known.len() >= MAX_ACTIONS;
        if known.contains(action) || (full && this.more) {
            return;
        }
        let usage = Arc::make_mut(this);
        if full {
            usage.more = true;
        } else if refused {
            usage.refused.insert(action.clone());
        } else {
            usage.used.insert(action.clone());
        }
    }

    /// Scopes of a certificate under which nothing was done; `None` if too much was done to tell.
    pub(super) fn unused(&self, granted: &ScopeSet) -> Option<Vec<Scope>> {
        let used = |scope: &Scope| {
            ScopeSet::new([scope.clone()]).is_ok_and(|alone| self.used.iter().any(|a| alone.permits(a)))
        };
        (!self.more).then(|| granted.iter().filter(|scope| !used(scope)).cloned().collect())
    }

    pub(super) fn refused(&self) -> Vec<Action> {
        self.refused.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_told_from_what_was_not_until_there_is_too_much() {
        let mut usage = Arc::new(Usage::default());
        let action = |text: &str| -> Action { text.parse().unwrap() };
        Usage::note(&mut usage, &action("read:accounts/7"), Outcome::Ok);
        Usage::note(&mut usage, &action("delete:accounts"), Outcome::Denied);
        let copy = usage.clone();
        Usage::note(&mut usage, &action("read:accounts/7"), Outcome::Ok);
        assert!(Arc::ptr_eq(&copy, &usage), "nothing new, nothing copied");
        let granted = ScopeSet::parse(["read:accounts/*", "write:ledger"]).unwrap();
        assert_eq!(usage.unused(&granted).unwrap(), [Scope::parse("write:ledger").unwrap()]);
        assert_eq!(usage.refused(), [action("delete:accounts")]);
        for n in 0..100 {
            Usage::note(&mut usage, &action(&format!("read:n{n}")), Outcome::Ok);
        }
        assert_eq!((usage.used.len(), usage.unused(&granted)), (MAX_ACTIONS, None));
    }
}
