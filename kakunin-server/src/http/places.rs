//! How many streams one address or tenant may have: whoever takes them all would keep revocations from everybody
//! else.

use std::net::IpAddr;

use kakunin_core::id::TenantId;

use super::error::ApiError;
use super::tally::{Share, Tally};

/// When to come back, if there is no place.
const RETRY_AFTER: u64 = 30;

/// Who takes a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// An address, or the network that has one.
    Address(IpAddr),
    /// A tenant, whose key was shown.
    Tenant(TenantId),
}

/// The places that are taken.
#[derive(Clone, Debug)]
pub(super) struct Places {
    address: usize,
    tenant: usize,
    taken: Tally<Holder>,
}

impl Places {
    /// So many for each address, and for each tenant.
    pub(super) fn new(address: usize, tenant: usize) -> Self {
        Self { address, tenant, taken: Tally::default() }
    }

    /// A place, until it is dropped.
    pub(super) fn take(&self, holder: Holder) -> Result<Place, ApiError> {
        let (most, sentence) = match holder {
            Holder::Address(_) => {
                (self.address, "this address has all its streams; show an API key for more")
            }
            Holder::Tenant(_) => (self.tenant, "this tenant has half of all streams, which are all its own"),
        };
        let mut place = self.taken.share(holder);
        if place.grow(1, most) { Ok(place) } else { Err(ApiError::busy("feed_full", sentence, RETRY_AFTER)) }
    }
}

/// One of them.
pub(super) type Place = Share<Holder>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_back_when_its_streams_end() {
        let places = Places::new(2, 3);
        let address = |text: &str| Holder::Address(text.parse().unwrap());
        let one = || places.take(address("10.0.0.1"));
        let (first, second) = (one().unwrap(), one().unwrap());
        assert!(one().is_err());
        assert!(places.take(address("10.0.0.2")).is_ok(), "another address");
        let tenant = || places.take(Holder::Tenant("acme".parse().unwrap()));
        let held: Vec<_> = (0..4).map(|_| tenant()).collect();
        assert!(held[2].is_ok() && held[3].is_err());
        drop(held);
        drop(first);
        let third = one().unwrap();
        assert!(one().is_err());
        drop((second, third));
        assert!(places.taken.is_empty(), "nothing is left of an address without streams");
    }
}
