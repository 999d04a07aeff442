//! How often one key, or one stranger, may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kakunin_core::access::ApiKeyId;
use kakunin_core::id::AgentId;

use super::counts::ANONYMOUS_REFUSED;
use super::error::ApiError;

/// Requests a second of one key, unless configured otherwise.
pub const DEFAULT_KEY_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_999);
// What a stranger may get wrong: keys and serial numbers that do not exist.
const MISSES_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(299);
// What is still put on record of an agent that has no identity any more.
const GONE_A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
// How many seconds' worth of anonymous requests may come at once.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
// Beyond this many remembered addresses or keys, those that are idle are forgotten.
const REMEMBERED: usize = 100_000;

/// Requests a second of one address that shows no account, unless configured otherwise.
pub const DEFAULT_ANONYMOUS_RATE: NonZeroU32 = DEFAULT_KEY_RATE;

/// What anybody may ask for, each with a limit of its own; the dearer, the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A certificate by its serial number, or its own standing.
    Card,
    /// CRLs, CA certificates, the description of the API.
    File,
    /// Readiness and figures.
    Health,
    /// A page of the feed: up to 1,000 records are read and rendered.
    Page,
    /// The start of a stream, which reads as much.
    Stream,
    /// All that stands revoked.
    Snapshot,
    /// The signature of a message.
    Message,
    /// A certificate for a token, or for an older one.
    Enrolment,
}

impl Work {
    const ALL: [Self; 8] = [
        Self::Card,
        Self::File,
        Self::Health,
        Self::Page,
        Self::Stream,
        Self::Snapshot,
        Self::Message,
        Self::Enrolment,
    ];

    /// By how much less of it one address may ask for than of the cheapest.
    const fn weight(self) -> u32 {
        match self {
            Self::Card => 1,
            Self::File => 4,
            Self::Page | Self::Stream | Self::Enrolment | Self::Health => 20,
            Self::Message => 40,
            Self::Snapshot => 100,
        }
    }
}

/// The limits in force.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: DefaultKeyedRateLimiter<ApiKeyId>,
    agents: DefaultKeyedRateLimiter<AgentId>,
    gone: DefaultKeyedRateLimiter<AgentId>,
    strangers: Addresses,
    nobodies: Addresses,
    works: [Addresses; 8],
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
    pub(crate) fn new(key_rate: NonZeroU32, anonymous_rate: NonZeroU32) -> Self {
        let rate = |work: Work| {
            let rate = NonZeroU32::new(anonymous_rate.get() / work.weight()).unwrap_or(NonZeroU32::MIN);
            // Who starts again, or many behind one address, ask for much at once.
            Addresses::new(Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST)))
        };
        Self {
            keys: RateLimiter::keyed(Quota::per_second(key_rate)),
            agents: RateLimiter::keyed(Quota::per_second(key_rate)),
            gone: RateLimiter::keyed(Quota::per_second(GONE_A_SECOND)),
            strangers: Addresses::new(Quota::per_minute(MISSES_A_MINUTE)),
            nobodies: Addresses::new(Quota::per_second(key_rate)),
            works: Work::ALL.map(rate),
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

    /// Counts what anybody may ask for, before it is done.
    pub(crate) fn work(&self, work: Work, address: IpAddr) -> Result<(), ApiError> {
        let place = Work::ALL.iter().position(|one| *one == work).and_then(|place| self.works.get(place));
        place.map_or(Ok(()), |limit| limit.count(address)).map_err(|until| {
            if ANONYMOUS_REFUSED.count() {
                tracing::warn!(%address, ?work, "an address asks for more than it may have without an account");
            }
            self.wait(&until)
        })
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
        // Whatever addresses come, memory has an end: beyond it newcomers share the limit of a wide network.
        let network = network_of(address);
        let crowded = self.limiter.len() > 2 * REMEMBERED;
        self.limiter.check_key(&if crowded { wide_network_of(network) } else { network })
    }
}

// IPv4 by the first octet, IPv6 by the first two.
fn wide_network_of(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) >> 24 << 24).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 112 << 112).into()),
    }
}

// Whoever has one IPv6 address has its /64; IPv4 may come mapped.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
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
        let limits = Limits::new(NonZeroU32::MIN, NonZeroU32::MIN);
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
    #[test]
    fn each_kind_of_anonymous_work_has_a_limit_and_whatever_addresses_come_memory_has_an_end() {
        let limits = Limits::new(NonZeroU32::MIN, DEFAULT_ANONYMOUS_RATE);
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        let allowed = |work| (0..1_000).filter(|_| limits.work(work, stranger).is_ok()).count();
        assert!((100..200).contains(&allowed(Work::Snapshot)));
        assert!((250..400).contains(&allowed(Work::Message)), "its limit is its own");
        let addresses = Addresses::new(Quota::per_second(NonZeroU32::MIN));
        for n in 0..300_000_u128 {
            let _ = addresses.count(IpAddr::V6(((0x2001_0db8_u128 << 96) | (n << 64)).into()));
        }
        let kept = addresses.limiter.len();
        assert!((REMEMBERED..=2 * REMEMBERED + 2).contains(&kept), "{kept}");
    }
}
