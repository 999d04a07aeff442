//! Agents and sessions of a folder: what their files say, each line checked.

use std::path::Path;

use kakunin_core::scope::ScopeSet;

use super::call::{Call, Scope, whole};
use crate::replay::ReplayError;
use crate::replay::trace::{bad, parse};

/// A property that the file does not tell.
pub(super) const UNKNOWN: &str = "unknown";

/// What the truth says of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Benign,
    /// Honest too; what it reads holds injections now and then.
    Exposed,
    Compromised,
}

/// One agent: what it may, what it did, and the truth about it, which the engine never sees.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) suite: String,
    pub(super) model: String,
    pub(super) profile: String,
    pub(super) role: Role,
    /// First event of the first session in which it acts on an injection; its first event, if the file does not say.
    pub(super) onset: u64,
    pub(super) first_injected: Option<u64>,
    pub(super) scope: ScopeSet,
    /// In the order of their times.
    pub(super) calls: Vec<Call>,
    pub(super) sessions: Vec<Session>,
}

impl Agent {
    pub(super) fn is_honest(&self) -> bool {
        self.role != Role::Compromised
    }
}

/// One session of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) first: u64,
    pub(super) events: u64,
    /// Whether it did what an injection asked for.
    pub(super) succeeded: bool,
}

impl Session {
    /// The first event after it.
    pub(super) const fn end(&self) -> u64 {
        self.first.saturating_add(self.events)
    }
}

#[derive(serde::Deserialize)]
struct AgentLine {
    agent: String,
    suite: Option<String>,
    model: Option<String>,
    profile: Option<String>,
    role: Option<Role>,
    scope_job: Option<ScopeSet>,
    scope_suite: Option<ScopeSet>,
    scope_broad: Option<ScopeSet>,
    onset_seq: Option<u64>,
    first_injected_seq: Option<u64>,
}

/// Reads an agent. With grants by task its certificate has the scope of its job.
pub(super) fn agent(path: &Path, number: u64, line: &[u8], scope: Scope) -> Result<Agent, ReplayError> {
    let row: AgentLine = parse(path, number, line)?;
    let (of, name) = match scope {
        Scope::Suite => (row.scope_suite, "scope_suite"),
        Scope::Broad => (row.scope_broad, "scope_broad"),
        Scope::Job | Scope::Task => (row.scope_job, "scope_job"),
    };
    let missing = |what: &str, then: &str| bad(path, number, format!("`{what}` is missing: write it{then}"));
    let of = of.ok_or_else(|| missing(name, ", or take another list with --scope"))?;
    let role = row.role.ok_or_else(|| missing("role", ": `benign`, `exposed` or `compromised`"))?;
    for (name, seq) in [("onset_seq", row.onset_seq), ("first_injected_seq", row.first_injected_seq)] {
        seq.map_or(Ok(()), |seq| whole(path, number, name, seq))?;
    }
    let none = || UNKNOWN.to_owned();
    Ok(Agent {
        name: row.agent,
        suite: row.suite.unwrap_or_else(none),
        model: row.model.unwrap_or_else(none),
        profile: row.profile.unwrap_or_else(none),
        role,
        onset: row.onset_seq.unwrap_or_default(),
        first_injected: row.first_injected_seq,
        scope: of,
        calls: Vec::new(),
        sessions: Vec::new(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
enum Label {
    #[serde(rename = "benign")]
    Benign,
    #[serde(rename = "attacked-unsuccessful")]
    Unsuccessful,
    #[serde(rename = "attacked-successful")]
    Successful,
}

#[derive(serde::Deserialize)]
struct SessionLine {
    agent: String,
    first_seq: u64,
    events: u64,
    label: Label,
}

/// Reads a session, and whose it is.
pub(super) fn session(path: &Path, number: u64, line: &[u8]) -> Result<(String, Session), ReplayError> {
    let row: SessionLine = parse(path, number, line)?;
    whole(path, number, "first_seq", row.first_seq)?;
    whole(path, number, "events", row.events)?;
    let succeeded = row.label == Label::Successful;
    Ok((row.agent, Session { first: row.first_seq, events: row.events, succeeded }))
}
