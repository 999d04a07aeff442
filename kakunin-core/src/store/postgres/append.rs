//! Appends: one transaction, one round trip.

use std::collections::HashMap;
use std::time::SystemTime;

use super::changes::{Changes, Revoked};
use super::link::{Link, Value};
use super::pipeline::{Pipeline, Sent};
use super::sql;
use super::values::{FirstDay, moment, signed};
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::glance::Glance;
use crate::month::Month;
use crate::store::audit::{Append, Head};

/// What is sent for some appends, as their statements take it.
pub(super) struct Batch<'a> {
    parts: Vec<Part<'a>>,
    keys: Vec<&'a [u8]>,
    agents: Vec<&'a [u8]>,
}

struct Part<'a> {
    log: String,
    checkpoint: &'a str,
    expected: Place,
    next: Place,
    month: FirstDay,
    /// Whether the entries are the first of their month.
    begins: bool,
    entries: Columns<'a>,
    changes: Changes<'a>,
    revoked: Option<Revoked>,
}

/// A head as its row has it.
struct Place {
    size: i64,
    at: i64,
    frontier: Vec<u8>,
}

impl Place {
    fn of(head: &Head) -> Result<Self, StoreError> {
        let (size, at) = (signed(head.frontier.size())?, signed(head.time.millis())?);
        Ok(Self { size, at, frontier: head.frontier.roots().concat() })
    }
}

/// Entries, column by column.
#[derive(Default)]
struct Columns<'a> {
    kinds: Vec<Option<i32>>,
    agents: Vec<Option<Vec<u8>>>,
    times: Vec<Option<SystemTime>>,
    leaves: Vec<&'a [u8]>,
    salts: Vec<Option<&'a [u8]>>,
    payloads: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut columns = Self::default();
        for Entry { leaf, payload } in entries {
            let glance = Glance::at(leaf);
            columns.kinds.push(glance.map(|glance| glance.kind.into()));
            columns.agents.push(glance.and_then(|g| g.agent).map(|agent| agent.as_bytes().to_vec()));
            columns.times.push(glance.map(|glance| moment(glance.time)));
            columns.leaves.push(leaf);
            columns.salts.push(payload.as_ref().map(|payload| payload.salt.as_slice()));
            columns.payloads.push(payload.as_ref().map(|payload| payload.octets.as_slice()));
        }
        columns
    }
}

/// The months that appends begin.
pub(super) fn months(appends: &[Append]) -> impl Iterator<Item = Month> {
    appends.iter().map(|append| Month::of(append.next.time))
}

impl<'a> Batch<'a> {
    /// # Errors
    /// For appends that do not lead from one head to the other: a defect of the caller.
    pub(super) fn of(appends: &'a [Append]) -> Result<Self, StoreError> {
        let mut parts = appends.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?;
        // Two calls over the same logs lock their heads in the same order. One log's appends stay in theirs.
        parts.sort_by(|one, other| one.log.cmp(&other.log));
        let mut bindings: Vec<_> = appends.iter().flat_map(|append| &append.bindings).collect();
        bindings.sort_by_key(|bound| *bound.key.as_bytes());
        let keys = bindings.iter().map(|bound| bound.key.as_bytes().as_slice()).collect();
        let agents = bindings.iter().map(|bound| bound.agent.as_bytes().as_slice()).collect();
        Ok(Self { parts, keys, agents })
    }

    /// Sends all of it over a connection that has [`sql::OF_WRITERS`] ready.
    pub(super) async fn send<'s>(&'s self, link: &'s Link) -> Result<Sent<'s>, StoreError> {
        let mut pipeline = Pipeline::begin(link);
        for part in &self.parts {
            part.advance(link, &mut pipeline)?;
        }
        for part in &self.parts {
            part.follow(link, &mut pipeline)?;
        }
        if !self.keys.is_empty() {
            pipeline.then(link.statement(sql::BIND)?, vec![&self.keys, &self.agents]);
        }
        pipeline.send().await
    }
}

impl<'a> Part<'a> {
    fn of(append: &'a Append) -> Result<Self, StoreError> {
        let Append { log, expected, next, entries, checkpoint, changes, revocations, .. } = append;
        let grown = next.frontier.size().checked_sub(expected.frontier.size());
        if entries.is_empty() || grown != u64::try_from(entries.len()).ok() || next.time < expected.time {
            return Err(StoreError::not_written("an append whose entries do not lead to its head"));
        }
        let month = Month::of(next.time);
        let begins = expected.frontier.size() == 0 || month != Month::of(expected.time);
        let revoked = match log {
            LogId::Revocations(issuer) if !revocations.is_empty() => Some(Revoked::of(issuer, revocations)?),
            _ => None,
        };
        let (changes, entries) = (Changes::of(changes), Columns::of(entries));
        let (log, month, expected, next) =
            (log.to_string(), FirstDay::of(month), Place::of(expected)?, Place::of(next)?);
        Ok(Self { log, checkpoint, expected, next, month, begins, entries, changes, revoked })
    }

    fn advance<'s>(&'s self, link: &'s Link, pipeline: &mut Pipeline<'s>) -> Result<(), StoreError> {
        let Self { log, checkpoint, expected, next, .. } = self;
        let values: Vec<Value<'s>> = vec![
            log,
            &expected.size,
            &expected.at,
            &expected.frontier,
            &next.size,
            &next.at,
            &next.frontier,
            checkpoint,
        ];
        pipeline.then(link.statement(sql::ADVANCE)?, values);
        Ok(())
    }

    fn follow<'s>(&'s self, link: &'s Link, pipeline: &mut Pipeline<'s>) -> Result<(), StoreError> {
        let (log, first, e) = (&self.log, &self.expected.size, &self.entries);
        if self.begins {
            pipeline.then(link.statement(sql::SPAN)?, vec![log, first, &self.month]);
        }
        pipeline.then(
            link.statement(sql::ENTRIES)?,
            vec![log, &self.month, first, &e.kinds, &e.agents, &e.times, &e.leaves, &e.salts, &e.payloads],
        );
        self.changes.put(log, link, pipeline)?;
        if let Some(revoked) = &self.revoked {
            revoked.apply(link, pipeline)?;
        }
        Ok(())
    }
}

/// How far an append of several leads, by log.
pub(super) fn sizes(appends: &[Append]) -> HashMap<&LogId, u64> {
    // Of two for one log the later is the larger.
    appends.iter().map(|append| (&append.log, append.next.frontier.size())).collect()
}
