//! How many streams one address may have: whoever takes them all would keep revocations from everybody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::ApiError;
use super::limits::network_of;

/// When to come back, if there is no place.
const RETRY_AFTER: u64 = 30;

/// The places that are taken.
#[derive(Clone, Debug)]
pub(super) struct Places {
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// So many for each address.
    pub(super) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place, until it is dropped.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, ApiError> {
        let address = network_of(address);
        let mut taken = self.lock();
        let count = taken.get(&address).copied().unwrap_or(0);
        if count >= self.each {
            let sentence = "this address has all the streams that one has; show an API key for more";
            return Err(ApiError::busy("feed_full", sentence, RETRY_AFTER));
        }
        taken.insert(address, count + 1);
        Ok(Place { address, places: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match taken.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_back_when_its_streams_end() {
        let places = Places::new(2);
        let one = || places.take("10.0.0.1".parse().unwrap());
        let (first, second) = (one().unwrap(), one().unwrap());
        assert!(one().is_err());
        assert!(places.take("10.0.0.2".parse().unwrap()).is_ok(), "another address");
        drop(first);
        let third = one().unwrap();
        assert!(one().is_err());
        drop((second, third));
        assert!(places.lock().is_empty(), "nothing is left of an address without streams");
    }
}
