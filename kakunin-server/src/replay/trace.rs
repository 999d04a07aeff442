//! Recorded traces: gzipped JSON lines, each checked, the truth kept apart from what the engine gets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use kakunin_core::event::{Amount, Currency, Name, Outcome, ShortName};
use kakunin_core::scope::{Action, ScopeSet};
use kakunin_core::shape;
use serde::de::DeserializeOwned;

use super::error::ReplayError;

/// Most octets of a line.
const MAX_LINE: u64 = 64 * 1024;
/// Most events of a file: they are sorted in memory.
const MAX_EVENTS: usize = 20_000_000;

/// Which list of scopes becomes the certificate's.
#[derive(Clone, Copy, Debug, Default)]
pub enum ScopeColumn {
    /// What this agent's own tasks need.
    Job,
    /// What its trade needs.
    #[default]
    Suite,
    /// That, and every read of its trade.
    Broad,
}

/// One recorded call. Fields that tell the truth about it are not even read.
#[derive(Debug)]
pub(super) struct Call {
    /// Position of its agent in the list of agents.
    pub(super) agent: usize,
    /// Milliseconds since the trace began.
    pub(super) at: u64,
    pub(super) seq: u64,
    pub(super) action: Action,
    pub(super) outcome: Outcome,
    pub(super) auth_failure: bool,
    pub(super) session: Option<Name>,
    pub(super) tool: Option<ShortName>,
    pub(super) target: Option<Name>,
    pub(super) counterparty: Option<Name>,
    pub(super) amount: Option<Amount>,
}

/// One agent of a trace.
#[derive(Debug)]
pub(super) struct TracedAgent {
    pub(super) name: String,
    pub(super) scope: ScopeSet,
    /// The truth, for the report alone.
    pub(super) truth: Option<Truth>,
}

/// What the file says of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Honest,
    /// Acts on somebody else's behalf from this event on, if the file says since when.
    Compromised(Option<u64>),
}

#[derive(serde::Deserialize)]
struct EventLine {
    agent: String,
    seq: u64,
    session: Option<Name>,
    t: f64,
    action: Action,
    tool: Option<ShortName>,
    outcome: Outcome,
    #[serde(default)]
    auth_failure: bool,
    amount: Option<serde_json::Number>,
    counterparty: Option<Name>,
    domain: Option<Name>,
    file: Option<Name>,
}

#[derive(serde::Deserialize)]
struct AgentLine {
    agent: String,
    scope_job: Option<ScopeSet>,
    scope_suite: Option<ScopeSet>,
    scope_broad: Option<ScopeSet>,
    role: Option<String>,
    onset_seq: Option<u64>,
}

/// Reads the agents, in the order of their names.
pub(super) fn agents(path: &Path, column: ScopeColumn) -> Result<BTreeMap<String, TracedAgent>, ReplayError> {
    let unopened = |source| ReplayError::Agents { path: path.to_owned(), source };
    let file = File::open(path).map_err(unopened)?;
    let mut agents = BTreeMap::new();
    lines(file, path, |number, line| {
        let row: AgentLine = parse(path, number, line)?;
        let (scope, name) = match column {
            ScopeColumn::Job => (row.scope_job, "scope_job"),
            ScopeColumn::Suite => (row.scope_suite, "scope_suite"),
            ScopeColumn::Broad => (row.scope_broad, "scope_broad"),
        };
        let truth = row.role.map(|role| match role.as_str() {
            "compromised" => Truth::Compromised(row.onset_seq),
            _ => Truth::Honest,
        });
        let missing = || format!("`{name}` is missing: write it, or take another list with --scope");
        let scope = scope.ok_or_else(|| bad(path, number, missing()))?;
        agents.insert(row.agent.clone(), TracedAgent { name: row.agent, scope, truth });
        Ok(())
    })?;
    Ok(agents)
}

/// Opens a file with calls.
pub(super) fn open(path: &Path) -> Result<File, ReplayError> {
    File::open(path).map_err(|source| ReplayError::Open { path: path.to_owned(), source })
}

/// Reads the calls of these agents, in the order of their times.
pub(super) fn calls(
    file: File,
    path: &Path,
    agents: &BTreeMap<String, TracedAgent>,
) -> Result<Vec<Call>, ReplayError> {
    let positions: BTreeMap<&str, usize> =
        agents.keys().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut calls = Vec::new();
    lines(file, path, |number, line| {
        let row: EventLine = parse(path, number, line)?;
        let agent = positions.get(row.agent.as_str()).copied();
        let agent = agent.ok_or_else(|| {
            bad(path, number, format!("`agent` is `{:.40}`, which is not in the agents file", row.agent))
        })?;
        if calls.len() >= MAX_EVENTS {
            return Err(bad(path, number, format!("more than {MAX_EVENTS} events; split the file")));
        }
        calls.push(Call {
            agent,
            at: millis(row.t).ok_or_else(|| {
                bad(path, number, format!("`t` is {}: write seconds since the beginning, from 0 on", row.t))
            })?,
            seq: row.seq,
            action: row.action,
            outcome: row.outcome,
            auth_failure: row.auth_failure,
            session: row.session,
            tool: row.tool,
            target: row.domain.or(row.file),
            counterparty: row.counterparty,
            amount: row.amount.and_then(|n| minor_units(&n.to_string())),
        });
        Ok(())
    })?;
    calls.sort_by_key(|c| (c.at, c.agent, c.seq));
    Ok(calls)
}

/// Each line of a gzipped file, with its number from 1.
pub(crate) fn lines(
    file: File,
    path: &Path,
    each: impl FnMut(u64, &[u8]) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    plain_lines(MultiGzDecoder::new(BufReader::new(file)), path, each)
}

/// Each line of a text, with its number from 1.
pub(crate) fn plain_lines(
    text: impl Read,
    path: &Path,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let mut reader = BufReader::with_capacity(1 << 16, text);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        let read =
            read.map_err(|source| ReplayError::Archive { path: path.to_owned(), line: number, source })?;
        if read == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if u64::try_from(text.len()).is_ok_and(|n| n >= MAX_LINE) {
            return Err(bad(path, number, format!("the line is longer than {MAX_LINE} bytes")));
        }
        if !text.is_empty() {
            each(number, text)?;
        }
    }
    Ok(())
}

/// Reads a line as an object.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, number: u64, line: &[u8]) -> Result<T, ReplayError> {
    shape::read(line).map_err(|error| bad(path, number, format!("{error} (column {})", error.column)))
}

/// Says what is wrong with a line.
pub(crate) fn bad(path: &Path, line: u64, why: String) -> ReplayError {
    ReplayError::Line { path: path.to_owned(), line, why }
}

/// Seconds with a fraction, as milliseconds.
pub(crate) fn millis(seconds: f64) -> Option<u64> {
    (seconds.is_finite() && (0.0..1e10).contains(&seconds)).then(|| {
        // Decimal text is exact where a cast of a float would not be allowed here.
        format!("{:.0}", seconds * 1_000.0).parse().ok()
    })?
}

/// Currency units in decimal, as minor units; `None` for what is not an amount of money.
pub(crate) fn minor_units(text: &str) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let cents: String = fraction.chars().chain("00".chars()).take(2).collect();
    let minor = format!("{whole}{cents}").parse().ok()?;
    Some(Amount { minor, currency: Currency::try_from("USD".to_owned()).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_become_minor_units_without_floats() {
        let minor = |text| minor_units(text).map(|a| a.minor);
        assert_eq!(
            (minor("12"), minor("12.5"), minor("0.07"), minor("12.999")),
            (Some(1200), Some(1250), Some(7), Some(1299))
        );
        assert_eq!((minor("-1"), minor("1e30"), minor("x")), (None, None, None));
    }

    #[test]
    fn seconds_become_milliseconds() {
        assert_eq!(
            (millis(0.0), millis(1.2345), millis(-1.0), millis(f64::NAN)),
            (Some(0), Some(1234), None, None)
        );
    }
}
