//! Who is at the other end of the connection, and on whose behalf.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::request::Parts;

/// The other end of a connection, as the listener saw it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The certificates of the TLS handshake, leaf first, if it presented any.
    pub(crate) certificates: Option<Arc<[Vec<u8>]>>,
}

/// An address, or a network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: Ipv6Addr,
    bits: u32,
}

/// Not an address or network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or network: write `10.1.2.3` or `10.0.0.0/8`")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let offset = if address.is_ipv4() { 96 } else { 0 };
        let bits = match bits {
            None => 128,
            Some(bits) => bits.parse::<u32>().map_err(|_| NetworkError)?.saturating_add(offset),
        };
        if bits > 128 { Err(NetworkError) } else { Ok(Self { first: v6(address), bits }) }
    }
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let different = u128::from(self.first) ^ u128::from(v6(address));
        self.bits == 0 || different.leading_zeros() >= self.bits
    }
}

impl Network {
    /// How many bits its addresses share.
    pub(super) const fn bits(self) -> u32 {
        self.bits
    }

    /// Whether both hold the same addresses.
    pub(super) fn same(self, other: Self) -> bool {
        self.bits == other.bits && self.contains(IpAddr::V6(other.first))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (IpAddr::V6(self.first).to_canonical(), self.bits) {
            (address, 128) => write!(f, "{address}"),
            (IpAddr::V4(address), 96..) => write!(f, "{address}/{}", self.bits - 96),
            _ => write!(f, "{}/{}", self.first, self.bits),
        }
    }
}

// IPv4 as the system maps it, so that one comparison serves both.
fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Whether the connection comes from a configured proxy.
pub(crate) fn from_proxy(parts: &Parts, proxies: &[Network]) -> bool {
    parts.extensions.get::<Peer>().is_some_and(|peer| proxies.iter().any(|n| n.contains(peer.address.ip())))
}

/// The address of the client: the connection's, or behind configured proxies the last one in
/// `X-Forwarded-For` that is not a proxy's.
pub(crate) fn client_address(parts: &Parts, proxies: &[Network]) -> IpAddr {
    let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let peer = parts.extensions.get::<Peer>().map_or(unknown, |peer| peer.address.ip());
    if !from_proxy(parts, proxies) {
        return peer;
    }
    let values = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let hops: Vec<IpAddr> =
        values.flat_map(|v| v.split(',')).filter_map(|hop| hop.trim().parse().ok()).collect();
    hops.into_iter().rev().find(|hop| !proxies.iter().any(|n| n.contains(*hop))).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |net: &str, ip: &str| net.parse::<Network>().unwrap().contains(ip.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.200.3.4") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1") && holds("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "10.0.0.1") && holds("::/0", "10.0.0.1"));
        for text in ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::/0", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "1.2.3.4/", "::1/129"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
