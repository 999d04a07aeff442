//! The causes for which an identity is taken away, and what each leaves on record.

use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::Serial;
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, EventStatus};
use pollster::block_on;

use crate::world::{MODEL, P256, STRAWS, Subject, World, straw};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Automatic,
    Operator,
    Regulator,
    HoldAndRelease,
    /// By a renewal that leaves no grace.
    Superseded,
    /// By the first use of the new one within it.
    Used,
}

pub(crate) const REVOKED: &str = "certificate.revoked";
const VOIDED: &str = "join_token.voided";
pub(crate) const HELD: &str = "certificate.held";
pub(crate) const RELEASED: &str = "certificate.released";

impl Case {
    pub(crate) const ALL: [Self; 6] = [
        Self::Automatic,
        Self::Operator,
        Self::Regulator,
        Self::HoldAndRelease,
        Self::Superseded,
        Self::Used,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| format!("{case:?}") == name)
    }

    /// Does what is not on record yet, does the rest once more, and tells of each record it answers for.
    pub(crate) fn act(self, w: &World, one: &Subject, acknowledge: &dyn Fn(&str)) {
        let done = |record: &str| history(w, &one.facts.serial).contains(&record);
        let (kakunin, acme, serial) = (&w.kakunin, &w.acme, &one.facts.serial);
        match self {
            Self::Automatic => {
                let wanted = if done(REVOKED) { EventStatus::Duplicate } else { EventStatus::Scored };
                let seen = block_on(kakunin.tenant(acme).observe(straw(&one.facts, *STRAWS))).unwrap();
                // Also whoever asks again is told so.
                assert_eq!((seen.status, seen.revoked), (wanted, true));
            }
            Self::Operator => {
                let revocation = block_on(kakunin.tenant(acme).revoke(serial, Cause::KeyCompromise)).unwrap();
                assert_eq!(revocation.cause, Cause::KeyCompromise);
            }
            Self::Regulator => {
                let halt =
                    block_on(kakunin.tenant(acme).halt(&one.agent, Cause::RegulatoryOrder, None)).unwrap();
                assert_eq!(halt.serial, Some(*serial));
            }
            Self::HoldAndRelease => {
                if !done(RELEASED) {
                    block_on(kakunin.tenant(acme).hold(serial)).unwrap();
                    acknowledge(HELD);
                }
                block_on(kakunin.tenant(acme).release(serial)).unwrap();
                acknowledge(RELEASED);
            }
            // Once more would supersede the new one.
            Self::Superseded | Self::Used if done(REVOKED) => {}
            Self::Superseded => {
                let model = MODEL.parse().unwrap();
                block_on(kakunin.tenant(acme).renew(&one.agent, &model, Profile::HighRisk, P256)).unwrap();
            }
            Self::Used => {
                let mut newest =
                    block_on(kakunin.tenant(acme).agent(&one.agent)).unwrap().certificate.unwrap();
                if newest == *serial {
                    let model = MODEL.parse().unwrap();
                    let tenant = kakunin.tenant(acme);
                    let renewed = tenant.renew(&one.agent, &model, Profile::HighRisk, P256);
                    newest = block_on(renewed).unwrap().facts.serial;
                }
                let event = Event::new(newest, "read:accounts".parse().unwrap(), Outcome::Ok);
                block_on(kakunin.tenant(acme).observe(event)).unwrap();
            }
        }
        if self != Self::HoldAndRelease {
            acknowledge(REVOKED);
        }
    }

    /// The appends that decide it, each with all of its records.
    pub(crate) fn appends(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Automatic => &[&["agent.event", "risk.band_changed", REVOKED, VOIDED]],
            Self::Operator => &[&[REVOKED, VOIDED]],
            Self::Regulator => &[&["agent.halted", VOIDED, REVOKED]],
            Self::HoldAndRelease => &[&[HELD, VOIDED], &[RELEASED]],
            Self::Superseded => &[&["certificate.issued", REVOKED]],
            Self::Used => &[&["agent.event", REVOKED]],
        }
    }

    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Automatic => Cause::RiskThresholdExceeded,
            Self::Operator => Cause::KeyCompromise,
            Self::Regulator => Cause::RegulatoryOrder,
            Self::HoldAndRelease => Cause::Hold,
            Self::Superseded | Self::Used => Cause::Superseded,
        }
    }

    /// How long a renewed certificate stands beside the one that replaces it.
    pub(crate) const fn grace(self) -> u64 {
        match self {
            Self::Used => Config::RENEWAL_GRACE,
            _ => 0,
        }
    }

    /// How many items of the inbox tell of it.
    pub(crate) fn tells(self) -> usize {
        usize::from(!matches!(self, Self::HoldAndRelease | Self::Superseded | Self::Used))
    }
}

/// Names of the records that changed how a certificate stands, in the tenant's log.
pub(crate) fn history(w: &World, serial: &Serial) -> Vec<&'static str> {
    let records = w.log(&LogId::Tenant(w.acme.clone()));
    let of = records.iter().filter(|record| record.serial == Some(*serial)).map(|record| record.name());
    of.filter(|name| [REVOKED, HELD, RELEASED].contains(name)).collect()
}
