//! Authorities that are about to end, or have ended.

use std::sync::PoisonError;

use async_trait::async_trait;

use super::follower::Follower;
use super::running::{Kakunin, Running, Told};
use super::unit::{Pace, Turn};
use crate::id::{IssuerId, TenantId};
use crate::log::entry::LogId;
use crate::log::record::{CaRole, Control, Stage};
use crate::service::engine::cas::ended;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::notices::told_key;
use crate::store::state::Kind;
use crate::time::{DAY, SECOND, UnixTime};
use crate::x509::ca::Issuer;

/// An authority in use is told of from 90 days before its end, or from when a tenth of its life is left if that is later;
/// it is urgent from 30 days before, or from when a thirtieth is left.
const OF_AUTHORITIES: Notice = Notice { told: (90 * DAY, 10), urgent: (30 * DAY, 30) };

/// From when an end is told of, and from when it is urgent: so long before it, or when this part of the whole is left, if
/// that is later.
pub(super) struct Notice {
    pub(super) told: (u64, u64),
    pub(super) urgent: (u64, u64),
}

impl Notice {
    /// How near the end is of what is valid from one time to the other, if it has not `ended`.
    pub(super) const fn stage(&self, (from, end): (UnixTime, UnixTime), now: UnixTime, ended: bool) -> Stage {
        let (left, whole) = (end.since(now), end.since(from));
        if ended {
            Stage::Ended
        } else if within(left, whole, self.urgent) {
            Stage::Urgent
        } else if within(left, whole, self.told) {
            Stage::Near
        } else {
            Stage::Far
        }
    }
}

const fn within(left: u64, whole: u64, (longest, part): (u64, u64)) -> bool {
    left < longest && left < whole / part
}

/// When an authority that is in use ends. One that was replaced is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Which.
    pub issuer: IssuerId,
    /// What it is.
    pub role: CaRole,
    /// The tenant that it issues for, if not for every tenant without its own.
    pub tenant: Option<TenantId>,
    /// Its last moment.
    pub not_after: UnixTime,
    /// Milliseconds until then; 0 afterwards.
    pub left: u64,
    /// How near that is.
    pub stage: Stage,
}

impl Kakunin {
    /// The ends of all authorities in use, the soonest first: whoever issues now, for everybody or a tenant, and the
    /// roots above them.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        self.inner.endings()
    }

    /// Puts an item into the inbox of each tenant whose agents depend on an authority that is about to end, once for
    /// each stage. [`Kakunin::run`] does this by itself; without it call this about once a day, and when
    /// [`Kakunin::endings`] has another stage.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tell_of_endings(&self) -> Result<(), Error> {
        self.inner.tell_of_endings().await
    }
}

/// Tells the inbox of each tenant which authorities are about to end.
pub(super) struct Endings;

#[async_trait]
impl Follower for Endings {
    fn name(&self) -> &'static str {
        "endings"
    }

    fn logs(&self, _: &Running) -> Option<Vec<LogId>> {
        Some(vec![LogId::System])
    }

    fn pace(&self) -> Pace {
        Pace { rest: 30 * SECOND, again: 30 * SECOND, longest: 30 * SECOND }
    }

    async fn step(&self, running: &Running, _: &LogId, _: &mut Turn<'_>) -> Result<(), Error> {
        let near = running.endings().into_iter().filter(|ending| ending.stage > Stage::Far);
        // Once a day too, for tenants that were made since.
        let now: Vec<Told> = near.map(|e| (e.issuer, e.stage, e.left / DAY)).collect();
        if *running.told.lock().unwrap_or_else(PoisonError::into_inner) != now {
            running.tell_of_endings().await?;
            *running.told.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        Ok(())
    }
}

impl Running {
    fn endings(&self) -> Vec<Ending> {
        let now = self.now();
        let mut endings: Vec<Ending> = Vec::new();
        for ca in self.cas.issuing_now() {
            endings.push(ending(&ca.issuer, CaRole::Issuing, ca.tenant.clone(), now));
            if endings.iter().all(|known| known.issuer != ca.root.id()) {
                endings.push(ending(&ca.root, CaRole::Root, None, now));
            }
        }
        endings.sort_by_key(|ending| (ending.not_after, ending.issuer));
        endings
    }

    async fn tell_of_endings(&self) -> Result<(), Error> {
        let endings: Vec<_> = self.endings().into_iter().filter(|ending| ending.stage > Stage::Far).collect();
        if endings.is_empty() {
            return Ok(());
        }
        for id in self.tenant_ids() {
            let ca = self.cas.own(&id).unwrap_or_else(|| self.cas.current());
            let concerns = |ending: &&Ending| [ca.issuer.id(), ca.root.id()].contains(&ending.issuer);
            for ending in endings.iter().filter(concerns) {
                let tenant = self.tenant(&id).await?;
                self.tell_of_ending(&tenant, ending).await?;
            }
        }
        Ok(())
    }

    async fn tell_of_ending(&self, tenant: &TenantLog, ending: &Ending) -> Result<(), Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let mut sequencer = self.in_turn(tenant).await?;
        let key = told_key(&ending.issuer);
        let row = self.parts.state.get(&log, Kind::Cursor, &key).await?;
        let row = row.and_then(|row| self.opened_one(&log, Kind::Cursor, &key, &row));
        let told: Option<Stage> = row.and_then(|row| serde_json::from_slice(&row).ok());
        if told.is_some_and(|told| told >= ending.stage) {
            return Ok(());
        }
        let Ending { issuer, role, not_after, stage, .. } = *ending;
        sequencer.note(self, Control::CaEnding { issuer, role, not_after, stage }).await
    }
}

fn ending(ca: &Issuer, role: CaRole, tenant: Option<TenantId>, now: UnixTime) -> Ending {
    let (from, not_after) = (ca.not_before(), ca.not_after());
    let stage = OF_AUTHORITIES.stage((from, not_after), now, ended(ca, now));
    Ending { issuer: ca.id(), role, tenant, not_after, left: not_after.since(now), stage }
}
