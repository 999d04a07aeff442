//! Authorities that are about to end, or have ended.

use super::Kakunin;
use crate::id::{IssuerId, TenantId};
use crate::time::{DAY, UnixTime};
use crate::x509::ca::Issuer;

/// An authority in use is told of from so long before its end, or from when a tenth of its life is left if that is later.
const TOLD: (u64, u64) = (90 * DAY, 10);
/// It is urgent from so long before, or from when a thirtieth is left.
const URGENT: (u64, u64) = (30 * DAY, 30);

/// Which authority it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndingRole {
    /// The root above one that issues.
    Root,
    /// One that issues.
    Issuing,
}

/// When an authority that is in use ends. One that was replaced is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Which.
    pub issuer: IssuerId,
    /// What it is.
    pub role: EndingRole,
    /// The tenant that it issues for, if not for every tenant without its own.
    pub tenant: Option<TenantId>,
    /// Its last moment.
    pub not_after: UnixTime,
    /// Milliseconds until then; 0 afterwards.
    pub left: u64,
    /// How near that is.
    pub stage: Stage,
}

/// How near an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Far.
    Far,
    /// Within 90 days, or the last tenth of its life if that is shorter: time to plan what follows.
    Near,
    /// Within 30 days, or the last thirtieth.
    Urgent,
    /// It is over, and nothing is issued.
    Ended,
}

impl Kakunin {
    /// The ends of all authorities in use, the soonest first: whoever issues now, for everybody or a tenant, and the
    /// roots above them.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        let now = self.inner.now();
        let mut endings: Vec<Ending> = Vec::new();
        for ca in self.inner.cas.issuing_now() {
            endings.push(ending(&ca.issuer, EndingRole::Issuing, ca.tenant.clone(), now));
            if endings.iter().all(|known| known.issuer != ca.root.id()) {
                endings.push(ending(&ca.root, EndingRole::Root, None, now));
            }
        }
        endings.sort_by_key(|ending| (ending.not_after, ending.issuer));
        endings
    }
}

fn ending(ca: &Issuer, role: EndingRole, tenant: Option<TenantId>, now: UnixTime) -> Ending {
    let (not_after, life) = (ca.not_after(), ca.not_after().since(ca.not_before()));
    let left = not_after.since(now);
    let within = |(longest, part): (u64, u64)| left < longest.min(life / part);
    let stage = match () {
        () if now.whole_secs() > not_after => Stage::Ended,
        () if within(URGENT) => Stage::Urgent,
        () if within(TOLD) => Stage::Near,
        () => Stage::Far,
    };
    Ending { issuer: ca.id(), role, tenant, not_after, left, stage }
}
