//! How often one key, or one stranger, may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kakunin_core::access::ApiKeyId;

use super::error::ApiError;

/// Requests a second of one key, unless configured otherwise.
pub const DEFAULT_KEY_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_999);
// What a stranger may get wrong: keys and serial numbers that do not exist.
const MISSES_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(299);
// Beyond this many remembered addresses or keys, those that are idle are forgotten.
const REMEMBERED: usize = 100_000;

/// The limits in force.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: DefaultKeyedRateLimiter<ApiKeyId>,
    strangers: DefaultKeyedRateLimiter<IpAddr>,
    nobodies: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Limits {
    pub(crate) fn new(key_rate: NonZeroU32) -> Self {
        Self {
            keys: RateLimiter::keyed(Quota::per_second(key_rate)),
            strangers: RateLimiter::keyed(Quota::per_minute(MISSES_A_MINUTE)),
            nobodies: RateLimiter::keyed(Quota::per_second(key_rate)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request of a key.
    pub(crate) fn key(&self, key: &ApiKeyId) -> Result<(), ApiError> {
        self.keys.check_key(key).map_err(|until| self.wait(&until))
    }

    /// Counts something a stranger got wrong.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.strangers.len() > REMEMBERED {
            self.strangers.retain_recent();
        }
        self.strangers.check_key(&network_of(address)).map_err(|until| self.wait(&until))
    }

    /// Counts a request of an agent that did not show who it is; gateways pass on many of them.
    pub(crate) fn nobody(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.nobodies.len() > REMEMBERED {
            self.nobodies.retain_recent();
        }
        self.nobodies.check_key(&network_of(address)).map_err(|until| self.wait(&until))
    }

    fn wait(&self, until: &governor::NotUntil<<DefaultClock as Clock>::Instant>) -> ApiError {
        ApiError::too_many(until.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

// Whoever has one IPv6 address has its /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}
