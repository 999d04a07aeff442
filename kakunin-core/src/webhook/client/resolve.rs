//! Names, looked up and checked in one step: what is connected to is what was checked.

use core::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::webhook::guard::Guard;

/// Looks names up.
///
/// *Atomicity, durability*: none. *Concurrency*: any number of calls at once. *Idempotence*: another call may give other
/// addresses; each connection is made by one call.
#[async_trait]
pub trait Resolver: Debug + Send + Sync {
    /// All addresses of a host.
    ///
    /// # Errors
    /// If there are none, or nobody can be asked.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does.
#[derive(Clone, Copy, Debug)]
pub(super) struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Gives addresses of hosts that may be connected to.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) guard: Arc<Guard>,
}

/// The name could not be looked up.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
pub(super) struct Unresolved;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { resolver, guard } = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await.map_err(|_| Unresolved)?;
            if found.is_empty() {
                return Err(Unresolved.into());
            }
            guard.check_host(name.as_str(), &found)?;
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
