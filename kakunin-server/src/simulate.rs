//! `kakunin risk simulate`: who would have been warned of, and who would have lost the identity, by another model or policy.

use std::fmt;
use std::path::{Path, PathBuf};

use kakunin_core::policy::Policy;
use kakunin_core::service::{Crossing, Crossings, SimulatedAgent, SimulatedLog, WhatIf, simulate};
use serde_json::{Value, json};

use crate::http::policy_from_json;
use crate::models::Model;
use crate::rebuild::shown;
use crate::serve::{ServeError, ServeOptions, wire};

/// Most agents of a log that are named to people.
const NAMED: usize = 50;

/// What is to be otherwise than it was.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The model that judges everything.
    pub model: Option<Model>,
    /// A policy: what `kakunin policy show` printed, edited, or the policy alone.
    pub policy: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// The file holds no policy.
    #[error("--policy: cannot use {path}: {why}", path = path.display())]
    Policy {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The deployment cannot be read.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Output, or the runtime.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What came of it, for people and for programs.
#[derive(Debug)]
pub struct Report(Vec<SimulatedLog>);

/// Judges every scored event anew, and says what would have followed. It changes nothing.
///
/// # Errors
/// [`SimulateError`] says what to change.
pub async fn run(serve: &ServeOptions, options: &Options) -> Result<Report, SimulateError> {
    let policy = options.policy.as_deref().map(policy_in).transpose()?;
    let parts = wire::parts_of_deployment(serve).await?;
    let config = wire::config(serve, serve.listen, &parts).await?;
    let what_if = WhatIf { model: options.model.as_ref().map(|model| model.0.clone()), policy };
    Ok(Report(simulate(config, parts, what_if, Some(shown())).await.map_err(ServeError::from)?))
}

fn policy_in(path: &Path) -> Result<Policy, SimulateError> {
    let refused = |why| SimulateError::Policy { path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    // What `show` printed has it within.
    let shown = serde_json::from_slice::<Value>(&text).ok();
    match shown.as_ref().and_then(|shown| shown.get("policy")) {
        Some(policy) => policy_from_json(policy.to_string().as_bytes()),
        None => policy_from_json(&text),
    }
    .map_err(refused)
}

impl Report {
    /// One object of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let logs = self.0.iter().map(|SimulatedLog { log, agents, scored, told }| {
            let told: Vec<_> = told.iter().map(agent_json).collect();
            json!({ "log": log.to_string(), "agents": agents, "scored": scored, "told": told })
        });
        json!({ "logs": logs.collect::<Vec<_>>() }).to_string()
    }
}

fn agent_json(agent: &SimulatedAgent) -> Value {
    let SimulatedAgent { agent, name, simulated, recorded } = agent;
    let both = |Crossings { warned, revoked }: &Crossings| json!({ "warned": warned.as_ref().map(crossing), "revoked": revoked.as_ref().map(crossing) });
    json!({
        "agent": agent.to_string(), "name": name.as_str(), "simulated": both(simulated), "recorded": both(recorded),
    })
}

/// Scores in millionths, so that nothing is rounded.
fn crossing(Crossing { index, at, score, model, families }: &Crossing) -> Value {
    let families: Vec<_> =
        families.iter().map(|(family, share)| json!([family, share.millionths()])).collect();
    json!({
        "index": index, "at": at.to_string(), "score": score.millionths(), "model": model.0, "families": families,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, SimulatedLog { log, agents, scored, told }) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let count = |of: fn(&SimulatedAgent) -> bool| told.iter().filter(|agent| of(agent)).count();
            write!(
                f,
                "{log}: {scored} scored events of {agents} agents; warned of {} (on record {}), revoked {} (on record {})",
                count(|agent| agent.simulated.warned.is_some()),
                count(|agent| agent.recorded.warned.is_some()),
                count(|agent| agent.simulated.revoked.is_some()),
                count(|agent| agent.recorded.revoked.is_some()),
            )?;
            for SimulatedAgent { agent, name, simulated, recorded } in told.iter().take(NAMED) {
                write!(f, "\n  {agent} {:?}", name.as_str())?;
                for (would, Crossings { warned, revoked }) in
                    [("would be", simulated), ("on record", recorded)]
                {
                    for (what, crossing) in [("warned of", warned), ("revoked", revoked)] {
                        crossing.iter().try_for_each(|crossing| line(f, would, what, crossing))?;
                    }
                }
            }
            if told.len() > NAMED {
                write!(f, "\n  and {} more; --json names all", told.len() - NAMED)?;
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, would: &str, what: &str, crossing: &Crossing) -> fmt::Result {
    let Crossing { index, at, score, model, families } = crossing;
    let why: Vec<_> = families.iter().map(|(family, share)| format!("{family} {share}")).collect();
    write!(f, "\n    {would} {what} by event {index}, {at}, at {score} by {}: {}", model.0, why.join(", "))
}
