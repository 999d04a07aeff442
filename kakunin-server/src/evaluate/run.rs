//! One evaluation, from a folder to a report.

use std::collections::BTreeMap;
use std::path::Path;

use kakunin_core::time::DAY;

use super::agents::{Agent, UNKNOWN};
use super::budgets::{by_agent, by_session};
use super::engine::{Engine, Judged, REVOKE, WARN, shown};
use super::error::EvaluateError;
use super::figures::{count, figures};
use super::folder;
use super::folds::folds;
use super::loud::{self, LoudReport};
use super::options::Options;
use super::report::{At, Group, Report};
use crate::replay::scores::Scores;

type Property = (&'static str, fn(&Agent) -> &str);

const PROFILE: Property = ("profile", |agent| &agent.profile);
const SUITE: Property = ("suite", |agent| &agent.suite);
const MODEL: Property = ("model", |agent| &agent.model);

/// Runs a model over a folder of traces.
///
/// # Errors
/// [`EvaluateError`]. All files are read to their ends before anything is scored, so that a damaged one is said at once.
pub fn run(folder: &Path, options: &Options) -> Result<Report, EvaluateError> {
    let folder = folder::read(folder, options.scope)?;
    let judged = Engine::new(&options.model).judge(&folder);
    if let Some(path) = &options.scores {
        write(path, &judged)?;
    }
    let all: Vec<&Judged<'_>> = judged.iter().collect();
    let at = [("revoked", REVOKE), ("warned", WARN)].map(|(what, threshold)| {
        let groups = [PROFILE, SUITE].iter().flat_map(|property| {
            let known = parts(&judged, property.1).into_iter().filter(|(is, _)| *is != UNKNOWN);
            known.map(|(is, part)| Group {
                by: property.0,
                is: is.to_owned(),
                figures: figures(part, threshold, folder.has_sessions),
            })
        });
        let groups = groups.collect();
        At { what, threshold, all: figures(&judged, threshold, folder.has_sessions), groups }
    });
    let mut budgets = by_agent(&all);
    let (sessions, session_auc) = by_session(&all);
    budgets.extend(sessions.into_iter().filter(|_| folder.has_sessions));
    let folded = [MODEL, SUITE].into_iter().filter(|_| options.folds);
    let times = || folder.agents.iter().flat_map(|agent| agent.calls.iter().map(|call| call.at));
    let span = times().max().unwrap_or_default().since(times().min().unwrap_or_default());
    Ok(Report {
        model: options.model.to_string(),
        scope: options.scope.name(),
        agents: count(folder.agents.len()),
        events: count(folder.agents.iter().map(|agent| agent.calls.len()).sum()),
        days: span / DAY + 1,
        at: at.into(),
        budgets,
        session_auc,
        folds: folded.map(|(by, of)| folds(by, &judged, of)).collect(),
    })
}

/// Runs a model over loud misuse and hard days, made of the honest agents of a folder; the same for the same `seed`.
///
/// # Errors
/// [`EvaluateError`].
pub fn loud(path: &Path, options: &Options, seed: u64) -> Result<LoudReport, EvaluateError> {
    let folder = folder::read(path, options.scope)?;
    loud::run(&folder, options, seed).ok_or_else(|| EvaluateError::NobodySettled(path.to_owned()))
}

/// Agents by a property.
fn parts<'a>(judged: &'a [Judged<'a>], of: fn(&Agent) -> &str) -> BTreeMap<&'a str, Vec<&'a Judged<'a>>> {
    let mut parts: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
    for one in judged {
        parts.entry(of(one.agent)).or_default().push(one);
    }
    parts
}

fn write(path: &Path, judged: &[Judged<'_>]) -> Result<(), EvaluateError> {
    let mut scores = Scores::create(path)?;
    for one in judged {
        for (seq, score) in one.each() {
            scores.write(&one.agent.name, seq, shown(score))?;
        }
    }
    Ok(scores.finish()?)
}
