//! Figures of each part of the traces, and thresholds chosen without the part that they are measured on.

use std::collections::BTreeMap;

use super::agents::Agent;
use super::budgets::{BUDGETS, threshold};
use super::engine::{Judged, REVOKE, WARN};
use super::figures::count;
use super::share::{Share, real};

/// The folds by one property of agents.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Folds {
    /// The property.
    pub by: &'static str,
    /// Each fold.
    pub folds: Vec<Fold>,
    /// Mean over the folds of the share of honest agents flagged, at 0.85 and at 0.75: each fold counts as much.
    pub honest_flagged_fold_mean: [f64; 2],
    /// At budgets whose thresholds were chosen on the other folds: all folds together.
    pub budgets: Vec<FoldedBudget>,
}

/// One fold.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fold {
    /// Which.
    pub fold: String,
    /// Honest agents flagged at 0.85 and at 0.75.
    pub honest: [Share; 2],
    /// Compromised agents caught at 0.85 and at 0.75.
    pub recall: [Share; 2],
}

/// What comes of a budget on agents that its threshold was not chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FoldedBudget {
    /// Share of the honest agents of the other folds that may be flagged, in hundredths.
    pub percent: u8,
    /// Honest agents flagged.
    pub flagged: Share,
    /// Compromised agents caught.
    pub recall: Share,
}

/// The folds by `of` each agent.
pub(super) fn folds<'a>(
    by: &'static str,
    agents: &'a [Judged<'a>],
    of: impl Fn(&'a Agent) -> &'a str,
) -> Folds {
    let mut parts: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
    for judged in agents {
        parts.entry(of(judged.agent)).or_default().push(judged);
    }
    let folds: Vec<Fold> = parts.iter().map(|(name, part)| fold(name, part)).collect();
    let budgets = BUDGETS.iter().map(|percent| {
        let mut budget = FoldedBudget { percent: *percent, flagged: Share::NONE, recall: Share::NONE };
        for (left_out, part) in &parts {
            let others = agents.iter().filter(|j| j.agent.is_honest() && of(j.agent) != *left_out);
            let threshold = threshold(&others.map(Judged::peak).collect::<Vec<_>>(), *percent);
            let (flagged, recall) = at(part, threshold);
            (budget.flagged, budget.recall) = (budget.flagged.and(flagged), budget.recall.and(recall));
        }
        budget
    });
    let budgets = budgets.collect();
    let mean = |of: fn(&Fold) -> Share| {
        let rates: Vec<f64> = folds.iter().map(of).filter(|s| s.of > 0).map(Share::rate).collect();
        rates.iter().sum::<f64>() / real(count(rates.len()).max(1))
    };
    let honest_flagged_fold_mean = [mean(|fold| fold.honest[0]), mean(|fold| fold.honest[1])];
    Folds { by, folds, honest_flagged_fold_mean, budgets }
}

fn fold(name: &str, part: &[&Judged<'_>]) -> Fold {
    let [(honest, recall), (warned, noticed)] = [REVOKE, WARN].map(|threshold| at(part, threshold));
    Fold { fold: name.to_owned(), honest: [honest, warned], recall: [recall, noticed] }
}

/// Honest agents flagged, and compromised ones caught.
fn at(part: &[&Judged<'_>], threshold: u32) -> (Share, Share) {
    let (mut flagged, mut recall) = (Share::NONE, Share::NONE);
    for judged in part {
        match judged.agent.is_honest() {
            true => flagged.add(judged.flag(threshold).is_some()),
            false => recall.add(judged.is_caught(threshold)),
        }
    }
    (flagged, recall)
}
