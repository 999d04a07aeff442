//! Every score made anew from the logs, and held against the one that the log says.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::aside::{RebuildProgress, aside};
use super::config::Config;
use super::load::load;
use crate::log::entry::LogId;
use crate::log::record::Record;
use crate::risk::{Models, RiskModel, Score};
use crate::service::engine::parts::Parts;
use crate::service::engine::telling::RecordListener;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::store::MemoryStore;

/// Most differing scores of a log that are named; the count goes on.
pub const MAX_NAMED_SCORES: usize = 100;

/// What came of the scores of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescoredLog {
    /// Which log: a tenant's.
    pub log: LogId,
    /// Records with a score, all of which were made anew.
    pub compared: u64,
    /// How many of them came out otherwise.
    pub differing: u64,
    /// The first of those, at most [`MAX_NAMED_SCORES`].
    pub named: Vec<ScoreDiffers>,
}

/// A score that came out otherwise than it is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreDiffers {
    /// Index of the record.
    pub index: u64,
    /// The score that it has.
    pub recorded: Score,
    /// The score that came out.
    pub folded: Score,
}

/// Makes every score anew from the logs of a deployment, in memory, by the model that judged then, or by `model` all of them,
/// and holds each against the one in its record's leaf, bit for bit. It begins at each log's first record, whatever is stored beside the logs. Nothing is
/// written. It needs as much memory as a server.
///
/// # Errors
/// [`Error::Deployment`] and [`Error::Store`] as for [`Kakunin::open`](crate::service::Kakunin::open): a log that is not what
/// its key signed has no scores.
pub async fn rescore(
    config: Config,
    parts: Parts,
    model: Option<Arc<dyn RiskModel>>,
    progress: Option<RebuildProgress>,
) -> Result<Vec<RescoredLog>, Error> {
    let heard = Arc::new(Heard::default());
    let mut parts = aside(&parts, Arc::new(MemoryStore::new()), progress);
    parts.listener = heard.clone();
    let (mut anew, _) = load(config, parts).await?;
    if let Some(model) = model {
        anew.models = Models::only(model);
    }
    let mut logs = Vec::new();
    for tenant in anew.tenant_ids() {
        let log = LogId::Tenant(tenant.clone());
        // What was heard before is of an earlier beginning.
        drop(heard.take(&log));
        TenantLog::load(&anew, tenant).await?;
        logs.push(heard.take(&log));
    }
    Ok(logs)
}

/// Hears of scores.
#[derive(Debug, Default)]
struct Heard(Mutex<BTreeMap<String, RescoredLog>>);

impl Heard {
    fn take(&self, log: &LogId) -> RescoredLog {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || RescoredLog { log: log.clone(), compared: 0, differing: 0, named: Vec::new() };
        all.get_mut(&log.to_string()).map_or_else(none, |heard| mem::replace(heard, none()))
    }
}

impl RecordListener for Heard {
    fn recorded(&self, _: &LogId, _: u64, _: &Record) {}

    fn score_folded(&self, log: &LogId, index: u64, recorded: Score, folded: Score) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || RescoredLog { log: log.clone(), compared: 0, differing: 0, named: Vec::new() };
        let heard = all.entry(log.to_string()).or_insert_with(none);
        heard.compared += 1;
        if recorded != folded {
            heard.differing += 1;
            if heard.named.len() < MAX_NAMED_SCORES {
                heard.named.push(ScoreDiffers { index, recorded, folded });
            }
        }
    }
}
