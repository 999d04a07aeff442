//! Who is at the other end of the connection, and on whose behalf.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

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

/// Most entries of `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 32;

/// The address of the client: the connection's, or behind configured proxies the last one in `X-Forwarded-For` that
/// is not a proxy's. What stands left of an entry that is no address is the client's own word: the proxy that wrote
/// that entry is the last hop that is known.
pub(crate) fn client_address(parts: &Parts, proxies: &[Network]) -> IpAddr {
    client_of(&parts.headers, &parts.extensions, proxies)
}

/// The same, of a request that is not taken apart.
pub(super) fn client_of(headers: &HeaderMap, extensions: &Extensions, proxies: &[Network]) -> IpAddr {
    let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut hop = extensions.get::<Peer>().map_or(unknown, |peer| peer.address.ip()).to_canonical();
    let trusted = |hop: IpAddr| proxies.iter().any(|network| network.contains(hop));
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|octet| *octet == b',')).take(MAX_HOPS);
    while trusted(hop)
        && let Some(before) = entries.next().and_then(forwarded)
    {
        hop = before;
    }
    hop
}

/// An entry as proxies write it: an address, with a port or not, IPv6 in brackets or not.
fn forwarded(entry: &[u8]) -> Option<IpAddr> {
    let entry = core::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let is_port =
        |text: &str| text.bytes().all(|octet| octet.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let address = if let Some(rest) = entry.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        IpAddr::V6(address.parse().ok().filter(|_| port)?)
    } else if let Some((address, port)) = entry.split_once(':').filter(|(address, _)| address.contains('.')) {
        IpAddr::V4(address.parse().ok().filter(|_| is_port(port))?)
    } else {
        entry.parse().ok()?
    };
    Some(address.to_canonical())
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
    fn client(peer: &str, proxies: &[&str], lines: &[&[u8]]) -> String {
        let proxies: Vec<Network> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let mut request = axum::http::Request::builder();
        for line in lines {
            request = request.header("x-forwarded-for", axum::http::HeaderValue::from_bytes(line).unwrap());
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let address = SocketAddr::new(peer.parse().unwrap(), 1);
        parts.extensions.insert(Peer { address, certificates: None });
        client_address(&parts, &proxies).to_string()
    }

    #[test]
    fn what_a_client_writes_left_of_its_own_address_is_never_believed() {
        let behind = |lines: &[&[u8]]| client("10.0.0.1", &["10.0.0.0/8", "fd00::/8"], lines);
        assert_eq!(behind(&[]), "10.0.0.1");
        for (entry, address) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
            ("\t 192.0.2.7 ", "192.0.2.7"),
        ] {
            assert_eq!(behind(&[format!("203.0.113.9, {entry}").as_bytes()]), address, "{entry}");
            assert_eq!(behind(&[b"203.0.113.9", entry.as_bytes()]), address, "{entry} on a line of its own");
            assert_eq!(behind(&[format!("{entry}, 10.2.3.4:80, [fd00::1]:9").as_bytes()]), address);
        }
        let hostile = [
            "unknown",
            "",
            " ",
            "_hidden",
            "\"192.0.2.7\"",
            "\"[2001:db8::7]:80\"",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:65536",
            "192.0.2.7:+1",
            "192.0.2.007",
            "192.0.2",
            "0x7f.1",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "[2001:db8::7",
            "2001:db8::7]",
            "[192.0.2.7]:80",
            "[2001:db8::7]80",
            "for=192.0.2.7",
            "192.0.2.7;",
            "192.0.2.7 192.0.2.8",
            "localhost",
            "\u{661}92.0.2.7",
        ];
        for entry in hostile {
            assert_eq!(behind(&[format!("203.0.113.9, {entry}").as_bytes()]), "10.0.0.1", "{entry:?}");
            assert_eq!(
                behind(&[format!("203.0.113.9,{entry},10.2.3.4").as_bytes()]),
                "10.2.3.4",
                "{entry:?}"
            );
        }
        assert_eq!(behind(&[b"203.0.113.9, \xff"]), "10.0.0.1");
        let many = "10.1.1.1,".repeat(10_000);
        assert_eq!(behind(&[format!("203.0.113.9,{many}10.1.1.1").as_bytes()]), "10.1.1.1");
        assert_eq!(client("192.0.2.1", &["10.0.0.0/8"], &[b"203.0.113.9"]), "192.0.2.1", "nobody's proxy");
        assert_eq!(client("::ffff:10.0.0.1", &["10.0.0.0/8"], &[b"203.0.113.9"]), "203.0.113.9");
    }
}
