//! How late a consumer may learn of a revocation by default: every cache and staleness on its way, in one place.

use kakunin_core::service::{COALESCE_MOST, FULL_CRL_AGE};

use kakunin_core::time::SECOND;
use kakunin_verify::policy::MAX_STALENESS;

use crate::crl_sync;
use crate::http::{CRL_MAX_AGE, VERIFY_MAX_AGE};

/// Between two looks of crl-sync.
const CRL_SYNC_MILLIS: u64 = crl_sync::EVERY * SECOND;

/// What everything on the way to one consumer may add up to, in milliseconds, with all of it cut.
pub const LIMIT: u64 = 45_000;

/// The way of a revocation to one consumer.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Who learns of it.
    pub consumer: &'static str,
    /// What it may wait for, and for how many milliseconds.
    pub stages: &'static [(&'static str, u64)],
}

/// All of them.
pub const WAYS: &[Way] = &[
    // Each request is decided by what the server knows at that moment; no gateway keeps an answer.
    Way { consumer: "gateway check", stages: &[] },
    Way {
        consumer: "verify/{serial}",
        stages: &[("rendered answers", VERIFY_MAX_AGE), ("caches in between", VERIFY_MAX_AGE)],
    },
    Way {
        consumer: "verifier that follows the feed",
        stages: &[("what it may not have heard of, with the feed cut", MAX_STALENESS)],
    },
    Way {
        consumer: "CRL shard",
        stages: &[("published together", COALESCE_MOST), ("caches in between", CRL_MAX_AGE)],
    },
    Way {
        consumer: "full CRL",
        stages: &[("made lazily", FULL_CRL_AGE), ("caches in between", CRL_MAX_AGE)],
    },
    // Its command is not on the way: it takes what a reload takes, and one that hangs has failed.
    Way {
        consumer: "file kept by crl-sync",
        stages: &[
            ("made lazily", FULL_CRL_AGE),
            ("caches in between", CRL_MAX_AGE),
            ("fetched", CRL_SYNC_MILLIS),
        ],
    },
];

impl Way {
    /// The worst case.
    #[must_use]
    pub fn worst(&self) -> u64 {
        self.stages.iter().map(|(_, wait)| wait).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_learns_of_a_revocation_within_the_limit() {
        for way in WAYS {
            println!("{}: {} ms", way.consumer, way.worst());
            assert!(way.worst() <= LIMIT, "{way:?}");
        }
    }
}
