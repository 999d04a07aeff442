//! Which actions an agent used since its certificate was issued, and what it was refused since a person last
//! approved what it may do: what whoever renews it should see.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::{Effect, Outcome};
use crate::log::record::Renewal;
use crate::scope::{Action, Scope, ScopeSet};
use crate::time::UnixTime;

/// Most used actions that are told apart.
const MAX_USED: usize = 64;
/// Refused actions that are kept of each effect: so many that came first, and as many that came last.
const KEPT: usize = 16;

/// An action that an agent was refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "Stored")]
pub struct Refusal {
    /// What it wanted.
    pub action: Action,
    /// How often, at least.
    pub count: u64,
    /// When first.
    pub first: UnixTime,
    /// When last.
    pub last: UnixTime,
}

/// What an agent was refused since a person last approved what it may do.
///
/// Of each effect (reads, writes, messages, payments, deletions, rights) those are kept that came first and
/// those that came last; of many on one kind of thing the older ones go. So a flood of harmless ones shows
/// as what it is, and hides nothing of another effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// What it was refused, in the order of the first times.
    pub actions: Vec<Refusal>,
    /// How many more there were; one that came again after it was left out counts again.
    pub more: u64,
}

/// How refusals were stored before they were counted.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Stored {
    Counted { action: Action, count: u64, first: UnixTime, last: UnixTime },
    Named(Action),
}

impl From<Stored> for Refusal {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Counted { action, count, first, last } => Self { action, count, first, last },
            Stored::Named(action) => {
                Self { action, count: 1, first: UnixTime::default(), last: UnixTime::default() }
            }
        }
    }
}

/// Shared with the copies that drafts make, and copied only when something is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Usage {
    used: BTreeSet<Action>,
    /// Whether more were used than are kept.
    more: bool,
    refused: Vec<Refusal>,
    #[serde(default)]
    refused_more: u64,
}

impl Usage {
    pub(crate) fn note(this: &mut Arc<Self>, at: UnixTime, action: &Action, outcome: Outcome) {
        if outcome == Outcome::Denied {
            Arc::make_mut(this).refuse(at, action);
        } else if !this.used.contains(action) && !this.more {
            let usage = Arc::make_mut(this);
            usage.more = usage.used.len() >= MAX_USED;
            if !usage.more {
                usage.used.insert(action.clone());
            }
        }
    }

    /// Another certificate begins; what was refused is forgotten if a person approved, who saw it.
    pub(crate) fn begin(this: &mut Arc<Self>, approved: bool) {
        let (refused, refused_more) =
            if approved { (Vec::new(), 0) } else { (this.refused.clone(), this.refused_more) };
        *this = Arc::new(Self { refused, refused_more, ..Self::default() });
    }

    fn refuse(&mut self, at: UnixTime, action: &Action) {
        if let Some(known) = self.refused.iter_mut().find(|r| r.action == *action) {
            (known.count, known.last) = (known.count.saturating_add(1), at);
            return;
        }
        self.refused.push(Refusal { action: action.clone(), count: 1, first: at, last: at });
        let effect = Effect::of(action);
        let alike = |r: &&Refusal| Effect::of(&r.action) == effect;
        if self.refused.iter().filter(alike).count() <= 2 * KEPT {
            return;
        }
        // Never one of the first, nor the newest; rather one of several on the same kind of thing.
        let later: Vec<_> = self.refused.iter().filter(alike).skip(KEPT).take(KEPT).collect();
        let several = |r: &&&Refusal| {
            self.refused.iter().filter(|other| kind_of(&other.action) == kind_of(&r.action)).count() > 1
        };
        let oldest = later.iter().filter(several).min_by_key(|r| r.last);
        if let Some(gone) = oldest.or_else(|| later.iter().min_by_key(|r| r.last)).map(|r| r.action.clone()) {
            self.refused.retain(|r| r.action != gone);
            self.refused_more = self.refused_more.saturating_add(1);
        }
    }

    /// Scopes of a certificate under which nothing was done; `None` if too much was done to tell.
    pub(crate) fn unused(&self, granted: &ScopeSet) -> Option<Vec<Scope>> {
        let used = |scope: &Scope| {
            ScopeSet::new([scope.clone()]).is_ok_and(|alone| self.used.iter().any(|a| alone.permits(a)))
        };
        (!self.more).then(|| granted.iter().filter(|scope| !used(scope)).cloned().collect())
    }

    pub(crate) fn refusals(&self) -> Refusals {
        Refusals { actions: self.refused.clone(), more: self.refused_more }
    }

    /// What the record of a renewal says of refusals.
    pub(crate) fn seen_in(&self, renewal: Renewal) -> Renewal {
        let refused = self.refused.iter().map(|r| r.action.clone()).collect();
        Renewal { refused, refused_more: self.refused_more, ..renewal }
    }
}

/// Verb, and the first segment of the resource.
fn kind_of(action: &Action) -> (&str, &str) {
    (action.verb(), action.resource().split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    fn action(text: &str) -> Action {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_used_is_told_from_what_was_not_until_there_is_too_much() {
        let mut usage = Arc::new(Usage::default());
        Usage::note(&mut usage, NOW, &action("read:accounts/7"), Outcome::Ok);
        let copy = usage.clone();
        Usage::note(&mut usage, NOW, &action("read:accounts/7"), Outcome::Ok);
        assert!(Arc::ptr_eq(&copy, &usage), "nothing new, nothing copied");
        Usage::note(&mut usage, NOW, &action("delete:accounts"), Outcome::Denied);
        let granted = ScopeSet::parse(["read:accounts/*", "write:ledger"]).unwrap();
        assert_eq!(usage.unused(&granted).unwrap(), [Scope::parse("write:ledger").unwrap()]);
        (0..100).for_each(|n| Usage::note(&mut usage, NOW, &action(&format!("read:n{n}")), Outcome::Denied));
        assert!(usage.unused(&granted).is_some(), "refusals do not hide what was used");
        (0..100).for_each(|n| Usage::note(&mut usage, NOW, &action(&format!("read:n{n}")), Outcome::Ok));
        assert_eq!((usage.used.len(), usage.unused(&granted)), (MAX_USED, None));
    }

    #[test]
    fn no_flood_hides_a_refusal_of_another_kind() {
        let mut usage = Usage::default();
        let flood = |usage: &mut Usage, text: &str| {
            (0..500).for_each(|n| usage.refuse(NOW.plus(n), &action(&format!("{text}{n}"))));
        };
        flood(&mut usage, "read:x");
        usage.refuse(NOW, &action("delete:backups"));
        usage.refuse(NOW, &action("wipe:disks"));
        flood(&mut usage, "read:y");
        flood(&mut usage, "delete:junk/");
        flood(&mut usage, "write:notes/");
        usage.refuse(NOW.plus(9_999), &action("delete:backups"));
        let seen = usage.refusals();
        let find = |text: &str| seen.actions.iter().find(|r| r.action == action(text));
        assert_eq!(
            find("delete:backups").map(|r| (r.count, r.first, r.last)),
            Some((2, NOW, NOW.plus(9_999)))
        );
        assert!(find("wipe:disks").is_some() && find("read:x0").is_some() && find("read:y499").is_some());
        assert_eq!(seen.actions.len() + usize::try_from(seen.more).unwrap(), 2_002);
        assert!(seen.actions.len() <= 6 * 2 * KEPT);
    }

    #[test]
    fn only_an_approval_forgets_and_old_snapshots_are_read() {
        let old = br#"{"used":["read:a"],"refused":["delete:a","delete:b"],"more":false}"#;
        let mut usage: Arc<Usage> = Arc::new(serde_json::from_slice(old).unwrap());
        Usage::note(&mut usage, NOW, &action("delete:b"), Outcome::Denied);
        let again = serde_json::from_slice(&serde_json::to_vec(&*usage).unwrap()).unwrap();
        assert_eq!(*usage, again);
        Usage::begin(&mut usage, false);
        assert_eq!((usage.used.len(), usage.refused.len(), usage.refused[1].count), (0, 2, 2));
        Usage::begin(&mut usage, true);
        assert_eq!(*usage, Usage::default());
    }
}
