//! Changes of projections, as their statements take them.

use std::collections::BTreeMap;

use super::link::{Link, Value};
use super::pipeline::Pipeline;
use super::sql;
use super::values::{clamp, signed};
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::revoke::{Reason, Revocation, RevocationChange};
use crate::store::state::Change;

/// Rows that are set, and rows that are taken away; of several changes of one row the last.
#[derive(Default)]
pub(super) struct Changes<'a> {
    pub(super) kinds: Vec<i16>,
    pub(super) keys: Vec<&'a [u8]>,
    pub(super) values: Vec<&'a [u8]>,
    pub(super) gone_kinds: Vec<i16>,
    pub(super) gone_keys: Vec<&'a [u8]>,
}

impl<'a> Changes<'a> {
    /// In the order of their keys, so that two who change the same rows do not wait for each other.
    pub(super) fn of(changes: &'a [Change]) -> Self {
        let last: BTreeMap<_, _> = changes
            .iter()
            .map(|change| ((i16::from(change.kind.code()), change.key.as_slice()), change.value.as_deref()))
            .collect();
        let mut sorted = Self::default();
        for ((kind, key), value) in last {
            match value {
                Some(value) => {
                    sorted.kinds.push(kind);
                    sorted.keys.push(key);
                    sorted.values.push(value);
                }
                None => {
                    sorted.gone_kinds.push(kind);
                    sorted.gone_keys.push(key);
                }
            }
        }
        sorted
    }

    /// Within a transaction.
    pub(super) fn put<'s>(
        &'s self,
        log: &'s String,
        link: &'s Link,
        pipeline: &mut Pipeline<'s>,
    ) -> Result<(), StoreError> {
        if !self.gone_keys.is_empty() {
            pipeline.then(link.statement(sql::REMOVE)?, vec![log, &self.gone_kinds, &self.gone_keys]);
        }
        if !self.keys.is_empty() {
            pipeline.then(link.statement(sql::PUT)?, vec![log, &self.kinds, &self.keys, &self.values]);
        }
        Ok(())
    }
}

/// Changes of one issuer's list.
#[derive(Default)]
pub(super) struct Revoked {
    issuer: Vec<u8>,
    upto: i64,
    indices: Vec<i64>,
    serials: Vec<Vec<u8>>,
    holds: Vec<bool>,
    causes: Vec<&'static str>,
    /// None for a hold that is released.
    records: Vec<Option<String>>,
}

impl Revoked {
    pub(super) fn of(issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<Self, StoreError> {
        let mut revoked = Self::none(issuer, changes.last().map_or(0, |(index, _)| index.saturating_add(1)));
        for (index, change) in changes {
            revoked.indices.push(signed(*index)?);
            revoked.serials.push(change.serial().1.as_bytes().to_vec());
            match change {
                RevocationChange::Revoked(revocation) => revoked.record(revocation)?,
                RevocationChange::Released { .. } => {
                    revoked.holds.push(false);
                    revoked.causes.push("");
                    revoked.records.push(None);
                }
            }
        }
        Ok(revoked)
    }

    /// All that stands below an index.
    pub(super) fn standing(
        issuer: &IssuerId,
        upto: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<Self, StoreError> {
        let mut revoked = Self::none(issuer, upto);
        for (index, revocation) in standing {
            revoked.indices.push(signed(*index)?);
            revoked.serials.push(revocation.serial.as_bytes().to_vec());
            revoked.record(revocation)?;
        }
        Ok(revoked)
    }

    fn none(issuer: &IssuerId, upto: u64) -> Self {
        Self { issuer: issuer.as_bytes().to_vec(), upto: clamp(upto), ..Self::default() }
    }

    fn record(&mut self, revocation: &Revocation) -> Result<(), StoreError> {
        self.holds.push(revocation.cause.reason() == Reason::CertificateHold);
        self.causes.push(revocation.cause.as_str());
        self.records.push(Some(serde_json::to_string(revocation).map_err(StoreError::not_written)?));
        Ok(())
    }

    /// Within a transaction.
    pub(super) fn apply<'s>(&'s self, link: &'s Link, pipeline: &mut Pipeline<'s>) -> Result<(), StoreError> {
        pipeline.then(link.statement(sql::REVOKE)?, self.values().to_vec());
        Ok(())
    }

    /// What [`sql::REVOKE`] takes.
    pub(super) fn values(&self) -> [Value<'_>; 7] {
        let Self { issuer, upto, indices, serials, holds, causes, records } = self;
        [issuer, upto, indices, serials, holds, causes, records]
    }

    /// In place of all that is there, within a transaction.
    pub(super) fn replace<'s>(
        &'s self,
        link: &'s Link,
        pipeline: &mut Pipeline<'s>,
    ) -> Result<(), StoreError> {
        pipeline.then(link.statement(sql::FORGET)?, vec![&self.issuer]);
        let values: Vec<Value<'s>> =
            vec![&self.issuer, &self.indices, &self.serials, &self.holds, &self.causes, &self.records];
        pipeline.then(link.statement(sql::STANDING)?, values);
        pipeline.then(link.statement(sql::SET_REVOCATIONS_APPLIED)?, vec![&self.issuer, &self.upto]);
        Ok(())
    }
}
