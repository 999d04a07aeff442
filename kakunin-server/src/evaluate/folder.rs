//! A folder of recorded traces: events, agents and sessions, gzipped or not.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kakunin_core::event::{Name, Outcome};
use kakunin_core::scope::Action;

use super::agents::{Agent, agent, session};
use super::call::{Call, Scope, whole};
use super::error::EvaluateError;
use crate::replay::trace::{bad, lines, millis, minor_units, parse, plain_lines};
use crate::replay::{BASE, ReplayError};

/// Most events of a folder: they are held in memory.
const MAX_EVENTS: usize = 20_000_000;

/// A folder that was read to its end.
#[derive(Debug)]
pub(super) struct Folder {
    /// In the order of their names.
    pub(super) agents: Vec<Agent>,
    /// Whether there is a file of sessions.
    pub(super) has_sessions: bool,
}

/// The narrowest grant that covers an action.
#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Width {
    Task,
    Job,
    Suite,
    Broad,
    None,
}

// What tells the truth, `label` and `injected`, is not even read.
#[derive(serde::Deserialize)]
struct EventLine {
    agent: String,
    seq: u64,
    session: Option<Name>,
    t: f64,
    action: Action,
    outcome: Outcome,
    #[serde(default)]
    auth_failure: bool,
    amount: Option<serde_json::Number>,
    counterparty: Option<Name>,
    domain: Option<Name>,
    file: Option<Name>,
    scope: Option<Width>,
}

/// Reads a folder; what is outside `scope` is a refused call.
pub(super) fn read(folder: &Path, scope: Scope) -> Result<Folder, EvaluateError> {
    let mut agents = BTreeMap::new();
    let path = each_line(folder, "agents", |path, number, line| {
        let agent = agent(path, number, line, scope)?;
        match agents.insert(agent.name.clone(), agent) {
            None => Ok(()),
            Some(twice) => Err(bad(path, number, format!("agent `{:.40}` came before", twice.name))),
        }
    })?;
    not_empty(agents.is_empty(), path, "agents")?;
    let (mut seen, mut grants) = (HashSet::new(), Grants::default());
    let path = each_line(folder, "events", |path, number, line| {
        let row: EventLine = parse(path, number, line)?;
        let whose = known(&mut agents, &row.agent, path, number)?;
        whole(path, number, "seq", row.seq)?;
        if !seen.insert((row.agent.clone(), row.seq)) {
            let why =
                format!("`seq` {} of agent `{:.40}` came before: number each event once", row.seq, row.agent);
            return Err(bad(path, number, why));
        }
        if seen.len() > MAX_EVENTS {
            return Err(bad(path, number, format!("more than {MAX_EVENTS} events; split the folder")));
        }
        if scope == Scope::Task {
            grants.note(&row).ok_or_else(|| {
                bad(
                    path,
                    number,
                    "`scope` is missing: write it, or take another list with --scope".to_owned(),
                )
            })?;
        }
        whose.calls.push(call(path, number, row)?);
        Ok(())
    })?;
    not_empty(seen.is_empty(), path, "events")?;
    let sessions = each_line(folder, "sessions", |path, number, line| {
        let (name, session) = session(path, number, line)?;
        known(&mut agents, &name, path, number)?.sessions.push(session);
        Ok(())
    });
    let has_sessions = match sessions {
        Ok(_) => true,
        Err(EvaluateError::Missing { source, .. }) if source.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let mut agents: Vec<Agent> = agents.into_values().collect();
    for agent in &mut agents {
        agent.calls.sort_by_key(|call| (call.at, call.seq));
        enforce(agent, (scope == Scope::Task).then_some(&grants));
    }
    Ok(Folder { agents, has_sessions })
}

/// What the task of each session needs.
#[derive(Default)]
struct Grants(BTreeMap<(String, Option<String>), BTreeSet<String>>);

impl Grants {
    fn note(&mut self, row: &EventLine) -> Option<()> {
        let session = row.session.as_ref().map(|name| name.as_str().to_owned());
        if row.scope? == Width::Task {
            self.0.entry((row.agent.clone(), session)).or_default().insert(row.action.as_str().to_owned());
        }
        Some(())
    }

    fn permits(&self, agent: &str, call: &Call) -> bool {
        let session = call.session.as_ref().map(|name| name.as_str().to_owned());
        self.0.get(&(agent.to_owned(), session)).is_some_and(|grant| grant.contains(call.action.as_str()))
    }
}

/// What an enforcement point does: what is outside is refused, and not done.
fn enforce(agent: &mut Agent, grants: Option<&Grants>) {
    for call in &mut agent.calls {
        let permitted = match grants {
            Some(grants) => grants.permits(&agent.name, call),
            None => agent.scope.permits(&call.action),
        };
        if !permitted {
            (call.outside, call.outcome) = (true, Outcome::Denied);
        }
    }
}

fn call(path: &Path, number: u64, row: EventLine) -> Result<Call, ReplayError> {
    let at = millis(row.t).ok_or_else(|| {
        bad(path, number, format!("`t` is {}: write seconds since the beginning, from 0 on", row.t))
    })?;
    Ok(Call {
        at: BASE.plus(at),
        seq: row.seq,
        action: row.action,
        outcome: row.outcome,
        outside: false,
        auth_failure: row.auth_failure,
        session: row.session,
        target: row.domain.or(row.file),
        counterparty: row.counterparty,
        amount: row.amount.and_then(|amount| minor_units(&amount.to_string())),
    })
}

fn known<'a>(
    agents: &'a mut BTreeMap<String, Agent>,
    name: &str,
    path: &Path,
    number: u64,
) -> Result<&'a mut Agent, ReplayError> {
    let why = || bad(path, number, format!("`agent` is `{name:.40}`, which is not in the agents file"));
    agents.get_mut(name).ok_or_else(why)
}

fn not_empty(empty: bool, path: PathBuf, what: &'static str) -> Result<(), EvaluateError> {
    if empty { Err(EvaluateError::Empty { path, what }) } else { Ok(()) }
}

/// Reads `name.jsonl.gz`, or `name.jsonl` if that is not there, and says which.
fn each_line(
    folder: &Path,
    name: &'static str,
    mut each: impl FnMut(&Path, u64, &[u8]) -> Result<(), ReplayError>,
) -> Result<PathBuf, EvaluateError> {
    let zipped = folder.join(format!("{name}.jsonl.gz"));
    let missing = |source| EvaluateError::Missing { folder: folder.to_owned(), name, source };
    match File::open(&zipped) {
        Ok(file) => {
            lines(file, &zipped, |number, line| each(&zipped, number, line))?;
            Ok(zipped)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let plain = folder.join(format!("{name}.jsonl"));
            let file = File::open(&plain).map_err(missing)?;
            plain_lines(file, &plain, |number, line| each(&plain, number, line))?;
            Ok(plain)
        }
        Err(error) => Err(missing(error)),
    }
}
