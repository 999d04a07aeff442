//! The figures of an evaluation, as a table and as JSON.

use core::fmt;

use super::budgets::{Budget, Per};
use super::engine::shown;
use super::figures::Figures;
use super::folds::{Fold, Folds};

/// What a model makes of a folder.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The risk model.
    pub model: String,
    /// What the agents may do.
    pub scope: &'static str,
    /// Agents.
    pub agents: u64,
    /// Events.
    pub events: u64,
    /// Days from the first event to the last, begun ones included.
    pub days: u64,
    /// The figures at each threshold.
    pub at: Vec<At>,
    /// What is caught at fixed budgets of false alarms; those by session are absent if the folder has no sessions.
    pub budgets: Vec<Budget>,
    /// How often a session with a successful attack has a higher score than an honest one.
    pub session_auc: Option<f64>,
    /// By model and by suite, if asked for.
    pub folds: Vec<Folds>,
}

/// The figures at one threshold.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct At {
    /// What it stands for.
    pub what: &'static str,
    /// The threshold, in millionths.
    pub threshold: u32,
    /// All agents.
    pub all: Figures,
    /// Some of them.
    pub groups: Vec<Group>,
}

/// The figures of agents that have something in common.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Group {
    /// Which property.
    pub by: &'static str,
    /// What it is.
    pub is: String,
    /// Their figures.
    pub figures: Figures,
}

impl Report {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and texts only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, scope, agents, events, days, .. } = self;
        writeln!(f, "risk model {model}, scope {scope}: {agents} agents, {events} events, {days} days")?;
        writeln!(f, "shares with 95 % intervals; successes before the flag: mean (median)")?;
        for at in &self.at {
            writeln!(f, "\n{} at {}", at.what, shown(at.threshold))?;
            header(f)?;
            row(f, "all", &at.all)?;
            for group in &at.groups {
                row(f, &format!("{} {}", group.by, group.is), &group.figures)?;
            }
        }
        writeln!(f, "\nat fixed budgets of false alarms, the threshold chosen on the same traces")?;
        for budget in &self.budgets {
            let per = match budget.per {
                Per::AgentMonth => "agent-month",
                Per::Session => "session",
            };
            let threshold = format!("{:.6}", f64::from(budget.threshold) / 1e6);
            write!(f, "{:>4} % by {per:<12} from {threshold:<10}", budget.percent)?;
            writeln!(f, "honest {:<30} recall {}", budget.flagged, budget.recall)?;
        }
        match self.session_auc {
            Some(area) => write!(f, "area under the curve, by session: {area:.3}")?,
            None => write!(f, "no sessions with a successful attack are known: nothing by session")?,
        }
        self.folds.iter().try_for_each(|folds| write_folds(f, folds))
    }
}

fn header(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [of, recall, honest] = ["", "recall", "honest flagged"];
    let [benign, exposed, early] = ["benign", "exposed", "before onset"];
    writeln!(f, "{of:<22}{recall:<32}{honest:<32}{benign:<32}{exposed:<32}{early:<14}successes")
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, figures: &Figures) -> fmt::Result {
    let Figures { recall, honest, benign, exposed, early, successes_before_flag, .. } = figures;
    let early = format!("{} of {}", early.part, early.of);
    write!(f, "{name:<22}{recall:<32}{honest:<32}{benign:<32}{exposed:<32}")?;
    writeln!(f, "{early:<14}{successes_before_flag}")
}

fn write_folds(f: &mut fmt::Formatter<'_>, folds: &Folds) -> fmt::Result {
    let [of, honest, warned] = ["", "honest at 0.85", "honest at 0.75"];
    writeln!(f, "\n\nfolds by {}", folds.by)?;
    writeln!(f, "{of:<30}{honest:<32}{warned:<32}{:<32}recall at 0.75", "recall at 0.85")?;
    for Fold { fold, honest: [revoked, warned], recall: [caught, noticed] } in &folds.folds {
        writeln!(f, "{fold:<30}{revoked:<32}{warned:<32}{caught:<32}{noticed}")?;
    }
    let [revoked, warned] = folds.honest_flagged_fold_mean;
    writeln!(f, "honest flagged, mean of the folds: {revoked:.4} at 0.85, {warned:.4} at 0.75")?;
    write!(f, "thresholds chosen on the other folds")?;
    for budget in &folds.budgets {
        write!(f, "\n{:>4} %  honest {:<30} recall {}", budget.percent, budget.flagged, budget.recall)?;
    }
    Ok(())
}
