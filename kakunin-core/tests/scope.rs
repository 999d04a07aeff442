//! Laws of scopes, over every scope of a small universe.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use kakunin_core::scope::{Action, Scope, ScopeSet};

fn universe() -> Vec<Scope> {
    let resources = ["*", "x", "y", "x/*", "x/y", "x/y/*", "x/y/z", "xy", "xy/*", "y/*", "y/x"];
    let all = ["a", "b", "*"].iter().flat_map(|verb| resources.iter().map(move |r| format!("{verb}:{r}")));
    all.map(|text| Scope::parse(&text).unwrap()).collect()
}

fn actions() -> Vec<Action> {
    universe().iter().filter_map(|s| Action::parse(s.as_str()).ok()).collect()
}

#[test]
fn covering_is_reflexive_antisymmetric_and_transitive() {
    let all = universe();
    for a in &all {
        assert!(a.covers(a));
        for b in &all {
            assert!(!(a.covers(b) && b.covers(a)) || a == b, "{a} {b}");
            for c in &all {
                assert!(!(a.covers(b) && b.covers(c)) || a.covers(c), "{a} {b} {c}");
            }
        }
    }
}

#[test]
fn covering_is_exactly_permitting_more() {
    for parent in universe() {
        for child in universe() {
            let permits =
                |scope: &Scope, action: &Action| ScopeSet::new([scope.clone()]).unwrap().permits(action);
            if parent.covers(&child) {
                let wider = actions().into_iter().find(|a| permits(&child, a) && !permits(&parent, a));
                assert_eq!(wider, None, "{parent} covers {child}");
            }
        }
    }
}

/// A child is never wider than its parent: for every pair of sets of two, what attenuation lets through
/// permits nothing that the parent does not.
#[test]
fn a_child_is_never_wider_than_its_parent() {
    let all = universe();
    let sets: Vec<ScopeSet> = all
        .iter()
        .enumerate()
        .flat_map(|(i, a)| {
            all.iter().skip(i).step_by(5).map(|b| ScopeSet::new([a.clone(), b.clone()]).unwrap())
        })
        .collect();
    let actions = actions();
    let mut let_through = 0;
    for parent in &sets {
        for child in &sets {
            if let Ok(child) = parent.attenuate(child.clone()) {
                let_through += 1;
                assert!(
                    actions.iter().all(|a| !child.permits(a) || parent.permits(a)),
                    "{parent:?} {child:?}"
                );
            }
        }
    }
    assert!(let_through > sets.len(), "the property was not tested");
}
