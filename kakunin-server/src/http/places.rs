//! How many streams one address or tenant may have: whoever takes them all would keep revocations from everybody
//! else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kakunin_core::id::TenantId;

use super::error::ApiError;

/// When to come back, if there is no place.
const RETRY_AFTER: u64 = 30;

/// Who takes a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
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
    taken: Arc<Mutex<HashMap<Holder, usize>>>,
}

impl Places {
    /// So many for each address, and for each tenant.
    pub(super) fn new(address: usize, tenant: usize) -> Self {
        Self { address, tenant, taken: Arc::default() }
    }

    /// A place, until it is dropped.
    pub(super) fn take(&self, holder: Holder) -> Result<Place, ApiError> {
        let (most, sentence) = match holder {
            Holder::Address(_) => {
                (self.address, "this address has all its streams; show an API key for more")
            }
            Holder::Tenant(_) => (self.tenant, "this tenant has half of all streams, which are all its own"),
        };
        let mut taken = self.lock();
        let count = taken.get(&holder).copied().unwrap_or(0);
        if count >= most {
            return Err(ApiError::busy("feed_full", sentence, RETRY_AFTER));
        }
        taken.insert(holder.clone(), count + 1);
        Ok(Place { holder, places: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    holder: Holder,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match taken.get_mut(&self.holder) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.holder)),
        }
    }
}

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
        assert!(places.lock().is_empty(), "nothing is left of an address without streams");
    }
}
