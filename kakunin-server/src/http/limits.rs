//! How often one key, or one stranger, may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kakunin_core::access::ApiKeyId;
use kakunin_core::id::AgentId;

use super::error::ApiError;

/// Requests a second of one key, unless configured otherwise.
pub const DEFAULT_KEY_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_999);
// What a stranger may get wrong: keys and serial numbers that do not exist.
const MISSES_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(299);
// What is still put on record of an agent that has no identity any more.
const GONE_A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
// Beyond this many remembered addresses or keys, those that are idle are forgotten.
const REMEMBERED: usize = 100_000;

/// The limits in force.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: DefaultKeyedRateLimiter<ApiKeyId>,
    agents: DefaultKeyedRateLimiter<AgentId>,
    gone: DefaultKeyedRateLimiter<AgentId>,
    strangers: Addresses,
    nobodies: Addresses,
    clock: DefaultClock,
}

/// A limit of each address.
#[derive(Debug)]
struct Addresses {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    /// When those that are idle were last forgotten.
    swept: Mutex<Instant>,
}

type Until = governor::NotUntil<<DefaultClock as Clock>::Instant>;

impl Limits {
    pub(crate) fn new(key_rate: NonZeroU32) -> Self {
        Self {
            keys: RateLimiter::keyed(Quota::per_second(key_rate)),
            agents: RateLimiter::keyed(Quota::per_second(key_rate)),
            gone: RateLimiter::keyed(Quota::per_second(GONE_A_SECOND)),
            strangers: Addresses::new(Quota::per_minute(MISSES_A_MINUTE)),
            nobodies: Addresses::new(Quota::per_second(key_rate)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request of a key.
    pub(crate) fn key(&self, key: &ApiKeyId) -> Result<(), ApiError> {
        self.keys.check_key(key).map_err(|until| self.wait(&until))
    }

    /// Counts a request of an agent, by whichever of its certificates: each lengthens its tenant's log.
    pub(crate) fn agent(&self, agent: &AgentId) -> Result<(), ApiError> {
        self.agents.check_key(agent).map_err(|until| self.wait(&until).at_gateway())
    }

    /// Counts a request of an agent whose certificate does not stand any more.
    pub(crate) fn gone(&self, agent: &AgentId) -> Result<(), ApiError> {
        self.gone.check_key(agent).map_err(|until| self.wait(&until).at_gateway())
    }

    /// Counts something a stranger got wrong.
    pub(crate) fn stranger(&self, address: IpAddr) -> Result<(), ApiError> {
        self.strangers.count(address).map_err(|until| self.wait(&until))
    }

    /// Counts a request of an agent that did not show who it is; gateways pass on many of them.
    pub(crate) fn nobody(&self, address: IpAddr) -> Result<(), ApiError> {
        self.nobodies.count(address).map_err(|until| self.wait(&until))
    }

    fn wait(&self, until: &Until) -> ApiError {
        ApiError::too_many(until.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

impl Addresses {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota), swept: Mutex::new(Instant::now()) }
    }

    fn count(&self, address: IpAddr) -> Result<(), Until> {
        // Looking at all of them costs, so at most once a second, and not by two at once.
        if self.limiter.len() > REMEMBERED
            && let Ok(mut swept) = self.swept.try_lock()
            && swept.elapsed() > Duration::from_secs(1)
        {
            self.limiter.retain_recent();
            *swept = Instant::now();
        }
        self.limiter.check_key(&network_of(address))
    }
}

// Whoever has one IPv6 address has its /64; IPv4 may come mapped.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_a_limit_of_its_own() {
        let limits = Limits::new(NonZeroU32::MIN);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first: Vec<_> = (0..301).map(|_| limits.stranger(address("::ffff:10.0.0.1")).is_ok()).collect();
        assert!(
            first[299] && !first[300] && limits.stranger(address("10.0.0.1")).is_err(),
            "the same address"
        );
        assert!(
            limits.stranger(address("::ffff:10.0.0.2")).is_ok()
                && limits.stranger(address("fd00::1")).is_ok()
        );
        assert_eq!(network_of(address("fd00::1")), network_of(address("fd00::2:3")));
        assert_ne!(network_of(address("fd00::1")), network_of(address("fd00:0:0:1::1")));
    }
}
