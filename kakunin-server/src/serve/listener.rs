//! Connections: accepted, limited, and ended when the server is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::listening::Listening;
use crate::http::{CONNECTIONS_NOT_ACCEPTED, CONNECTIONS_REFUSED, Share, Tally, network_of};

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// File descriptors that are left to everything else.
const OTHER_FILES: usize = 128;
/// How long requests that are under way may take once the server is told to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How many times as many connections an IPv6 site has as each of its networks.
const SITE: usize = 4;

pub(super) async fn serve(listener: TcpListener, listening: Arc<Listening>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(most_connections()));
    let (places, mut connections) = (Tally::default(), JoinSet::new());
    while !*stop.borrow() {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            // An error means that whoever could stop us is gone.
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, address, permit)) = accepted else { continue };
        let settings = listening.settings();
        let known = settings.is_known(address.ip());
        let place = if known { None } else { place(settings.per_address, &places, address.ip()) };
        if place.is_none() && !known {
            continue;
        }
        let connection = Connection { listening: listening.clone(), address };
        let stop = stop.clone();
        connections.spawn(async move {
            connection.serve(stream, stop).await;
            drop((permit, place));
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::warn!("some requests did not end in {} s and were cut off", GRACE.as_secs());
    }
    connections.shutdown().await;
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    // The semaphore is never closed.
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, permit)),
        // Out of file descriptors, most likely: others must end first.
        Err(error) => {
            if CONNECTIONS_NOT_ACCEPTED.count() {
                tracing::warn!(%error, "connections cannot be accepted");
            }
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// A place among those of its address, if there is one left.
fn place(most: usize, places: &Tally<IpAddr>, address: IpAddr) -> Option<[Share<IpAddr>; 2]> {
    let network = network_of(address);
    let (mut own, mut site) = (places.share(network), places.share(site_of(network)));
    if own.grow(1, most) && site.grow(1, most.saturating_mul(SITE)) {
        return Some([own, site]);
    }
    if CONNECTIONS_REFUSED.count() {
        tracing::warn!(%address, most, "an address has all its connections; see --connections-per-address");
    }
    None
}

/// Who has many IPv6 networks has a /48 of them; its key is no address of a /64. IPv4 is counted once.
fn site_of(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 80 << 80 | 1).into()),
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
    }
}

/// How many connections there may be, so that files are left for the store and the keys. The limit of open files is
/// raised as far as the system lets us.
fn most_connections() -> usize {
    let wanted = u64::try_from(MAX_CONNECTIONS + OTHER_FILES).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current.is_some_and(|current| current < raised) {
        // If that is refused there are fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let most = files.saturating_sub(OTHER_FILES).max(files / 2).clamp(1, MAX_CONNECTIONS);
    if most < MAX_CONNECTIONS {
        tracing::warn!(
            connections = most,
            files,
            "the limit of open files keeps connections below {MAX_CONNECTIONS}"
        );
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_networks_of_one_site_share_what_it_has() {
        let places = Tally::default();
        let take = |address: &str| place(2, &places, address.parse().unwrap());
        let held: Vec<_> = (0..3).map(|_| take("192.0.2.1")).collect();
        assert!(held[1].is_some() && held[2].is_none() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "an IPv4 address is no site");
        let held: Vec<_> = (0..20).map(|n| take(&format!("2001:db8:7:{n:x}::{n:x}"))).collect();
        assert_eq!(held.iter().flatten().count(), 2 * SITE);
        assert!(take("2001:db8:8::1").is_some(), "another site");
        drop(held);
        let again: Vec<_> = (0..3).map(|n| take(&format!("2001:db8:7::{n:x}"))).collect();
        assert!(again[1].is_some() && again[2].is_none(), "a network has its own limit");
    }
}
