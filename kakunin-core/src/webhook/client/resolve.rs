//! Names, looked up and checked in one step: what is connected to is what was checked.

use core::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

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

/// Look-ups that are under way at once.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// As the system does.
#[derive(Clone, Copy, Debug)]
pub(super) struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // A look-up has a thread of the runtime until it ends, also if nobody waits for it any more: whoever names hosts
        // that never resolve has these, and no others.
        let permit = LOOKUPS.acquire().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let found = tokio::spawn(async move {
            let _permit = permit;
            let found = tokio::net::lookup_host((host, 0)).await?;
            io::Result::Ok(found.map(|address| address.ip()).collect())
        });
        found.await.map_err(io::Error::other)?
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
