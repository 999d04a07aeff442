//! Who did not show who they are, for the log: a line a minute and address, with how many were left out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counts::AUTHENTICATIONS_FAILED;
use super::limits::network_of;

/// Between two lines about one address.
const SELDOM: Duration = Duration::from_secs(60);
/// Addresses that have lines of their own; the others are told of together.
const REMEMBERED: usize = 1_000;

/// Of this process.
pub(crate) static FAILURES: LazyLock<Failures> = LazyLock::new(Failures::default);

#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// When each address (IPv6: /64) last had a line, and how many it did not have since.
    addresses: HashMap<IpAddr, (Instant, u64)>,
    others: u64,
}

impl Failures {
    /// Counts one, and logs it if it is time.
    pub(crate) fn count(&self, address: IpAddr, code: &str, request_id: Option<&str>) {
        AUTHENTICATIONS_FAILED.count();
        if self.is_due(address, Instant::now()) {
            tracing::warn!(%address, code, request_id, "authentication failed");
        }
    }

    fn is_due(&self, address: IpAddr, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(address);
        if let Some((_, left_out)) = seen.addresses.get_mut(&network) {
            *left_out += 1;
            return false;
        }
        if seen.addresses.len() >= REMEMBERED {
            seen.others += 1;
            return false;
        }
        seen.addresses.insert(network, (now, 0));
        true
    }

    /// Says how many were left out of whoever has not had a line for a minute, or of everybody: to be called now and then,
    /// and at the end.
    pub(crate) fn tell(&self, of_all: bool) {
        let (told, others) = self.due(Instant::now(), of_all);
        for (address, left_out) in told {
            tracing::warn!(%address, left_out, "authentication failed, and was left out here");
        }
        if others > 0 {
            tracing::warn!(
                left_out = others,
                "authentication failed, of many other addresses, and was left out here"
            );
        }
    }

    /// Who was left out, and how often; whoever had a line a minute ago may have another.
    fn due(&self, now: Instant, of_all: bool) -> (Vec<(IpAddr, u64)>, u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        seen.addresses.retain(|address, (at, left_out)| {
            if !of_all && now.saturating_duration_since(*at) < SELDOM {
                return true;
            }
            let due = std::mem::take(left_out);
            if due > 0 {
                told.push((*address, due));
                *at = now;
            }
            // Told of now: the next line is a minute away.
            due > 0
        });
        (told, std::mem::take(&mut seen.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_line_a_minute_and_whatever_addresses_come_memory_has_an_end() {
        let (failures, began) = (Failures::default(), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let due = |address, after| failures.is_due(address, began + Duration::from_secs(after));
        let told = |after| failures.due(began + Duration::from_secs(after), false);
        assert!(due(address, 0) && !due(address, 1) && !due("::ffff:192.0.2.1".parse().unwrap(), 2));
        assert_eq!(told(30), (vec![], 0));
        assert_eq!(told(61), (vec![(address, 2)], 0));
        assert!(!due(address, 62), "it was told of a second ago");
        assert_eq!(told(122), (vec![(address, 1)], 0));
        assert_eq!(told(183), (vec![], 0));
        assert!(due(address, 184), "after a minute of nothing");
        let lines = (0..5_000_u128).filter(|n| due(IpAddr::V6((n << 64 | 7).into()), 185)).count();
        assert_eq!(lines, REMEMBERED - 1);
        assert_eq!(told(186).1, 4_001);
    }
}
