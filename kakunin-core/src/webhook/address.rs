//! Addresses that are nobody's business outside: of this machine, of its networks, of those who host it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Barred {
    /// No address: 0.0.0.0/8, `::`.
    Unspecified,
    /// This machine: 127.0.0.0/8, `::1`.
    Loopback,
    /// A network of somebody's own: RFC 1918, fc00::/7, fec0::/10, 64:ff9b:1::/48.
    Private,
    /// This link: 169.254.0.0/16, fe80::/10; there is the metadata of most who host machines.
    LinkLocal,
    /// Metadata of those who host machines, at an address that is public otherwise.
    Metadata,
    /// Behind a provider's address translation: 100.64.0.0/10.
    Shared,
    /// To many: 224.0.0.0/4, ff00::/8.
    Multicast,
    /// For examples.
    Documentation,
    /// For measurements: 198.18.0.0/15, 2001:2::/48.
    Benchmarking,
    /// Set aside, for protocols or for nothing.
    Reserved,
}

impl Barred {
    /// What it is, in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "no address of anybody",
            Self::Loopback => "an address of this machine",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address, where metadata services are",
            Self::Metadata => "an address of a metadata service",
            Self::Shared => "an address behind a provider's translation",
            Self::Multicast => "a multicast address",
            Self::Documentation => "an address for examples",
            Self::Benchmarking => "an address for measurements",
            Self::Reserved => "a reserved address",
        }
    }
}

/// Why nothing is sent to this address; `None` if it is a public one.
///
/// It looks through the forms of IPv6 that carry an IPv4 address to the one that is reached in the end: mapped, compatible,
/// NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380).
pub(crate) fn barred(address: IpAddr) -> Option<Barred> {
    match address {
        IpAddr::V4(address) => barred_v4(address),
        IpAddr::V6(address) => barred_v6(address),
    }
}

/// IPv4 addresses that are reached by way of this one, if it carries some.
pub(crate) fn carried(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return Vec::new() };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        // `::` and `::1` are themselves.
        (0, 0, 0, 0, 0, 0) if g == 0 && h <= 1 => Vec::new(),
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => vec![v4(g, h)],
        (0x2002, ..) => vec![v4(b, c)],
        // The server, and the client, whose bits are turned over.
        (0x2001, 0, ..) => vec![v4(c, d), v4(!g, !h)],
        _ => Vec::new(),
    }
}

fn barred_v4(address: Ipv4Addr) -> Option<Barred> {
    Some(match address.octets() {
        [0, ..] => Barred::Unspecified,
        [127, ..] => Barred::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Barred::Private,
        [169, 254, ..] => Barred::LinkLocal,
        [168, 63, 129, 16] => Barred::Metadata,
        [100, 64..=127, ..] => Barred::Shared,
        [224..=239, ..] => Barred::Multicast,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Barred::Documentation,
        [198, 18..=19, ..] => Barred::Benchmarking,
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Barred::Reserved,
        _ => return None,
    })
}

fn barred_v6(address: Ipv6Addr) -> Option<Barred> {
    let carried = carried(IpAddr::V6(address));
    if !carried.is_empty() {
        return carried.into_iter().find_map(barred_v4);
    }
    let [a, b, c, ..] = address.segments();
    Some(match (a, b, c) {
        _ if address.is_unspecified() => Barred::Unspecified,
        _ if address.is_loopback() => Barred::Loopback,
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, ..) | (0x64, 0xff9b, 1) => Barred::Private,
        (0xfe80..=0xfebf, ..) => Barred::LinkLocal,
        (0xff00.., ..) => Barred::Multicast,
        (0x2001, 0xdb8, _) | (0x3fff, 0..=0xfff, _) => Barred::Documentation,
        (0x2001, 2, 0) => Barred::Benchmarking,
        // What is for protocols (RFC 2928), and ORCHIDs.
        (0x2001, 1..=0x1ff, _) => Barred::Reserved,
        // Nothing else is given out yet.
        (0x2000..=0x3fff, ..) => return None,
        _ => Barred::Reserved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(address: &str) -> Option<Barred> {
        barred(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_reached() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.112.255",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:0:808:808::f7f7:f7f7",
            "2001:200::1",
            "3fff:1000::1",
        ] {
            assert_eq!(is(public), None, "{public}");
        }
    }

    #[test]
    fn others_are_not_in_any_of_their_forms() {
        use Barred::*;
        for (address, why) in [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("::1", Loopback),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fd00:ec2::254", Private),
            ("fec0::1", Private),
            ("169.254.169.254", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("168.63.129.16", Metadata),
            ("100.64.0.0", Shared),
            ("100.127.255.255", Shared),
            ("100.100.100.200", Shared),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("192.0.2.1", Documentation),
            ("198.51.100.1", Documentation),
            ("203.0.113.1", Documentation),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("198.18.0.1", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("2001:2::1", Benchmarking),
            ("192.0.0.192", Reserved),
            ("192.88.99.1", Reserved),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("100::1", Reserved),
            ("2001:10::1", Reserved),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            // The same machine, written otherwise.
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:a9fe:a9fe", LinkLocal),
            ("::127.0.0.1", Loopback),
            ("::10.0.0.1", Private),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b::169.254.169.254", LinkLocal),
            ("64:ff9b:1::8.8.8.8", Private),
            ("64:ff9b:1:a00:0:100::", Private),
            ("2002:7f00:1::", Loopback),
            ("2002:a9fe:a9fe::1", LinkLocal),
            ("2001:0:7f00:1::f7f7:f7f7", Loopback),
            ("2001:0:808:808::80ff:fffe", Loopback),
            ("::ffff:0:127.0.0.1", Reserved),
        ] {
            assert_eq!(is(address), Some(why), "{address}");
        }
    }
}
