//! Exceptions from what is barred.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::url::is_name;

/// Somewhere that is connected to although it is no public address: `10.1.0.0/16`, `fd00::/8`, `10.1.2.3`, or a name, whose
/// addresses are then not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow(Of);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    V4(Ipv4Addr, u32),
    V6(Ipv6Addr, u32),
    Host(String),
}

/// Not a place that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a network such as 10.1.0.0/16, nor an address, nor a name such as hooks.example")]
pub struct AllowError;

impl Allow {
    pub(super) fn has(&self, address: IpAddr) -> bool {
        // The bits that a network of this length does not have in common.
        match (&self.0, address) {
            (Of::V4(network, length), IpAddr::V4(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - length).unwrap_or(0) == 0
            }
            (Of::V6(network, length), IpAddr::V6(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - length).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    pub(super) fn is_host(&self, name: &str) -> bool {
        matches!(&self.0, Of::Host(host) if host == name)
    }
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, length)| (a, Some(length)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = |most: u32| match length {
            None => Some(most),
            Some(text) => text.parse().ok().filter(|length| digits(text) && *length <= most),
        };
        if let Ok(address) = address.parse() {
            return length(32).map(|length| Self(Of::V4(address, length))).ok_or(AllowError);
        }
        if let Ok(address) = address.parse() {
            return length(128).map(|length| Self(Of::V6(address, length))).ok_or(AllowError);
        }
        if is_name(text) { Ok(Self(Of::Host(text.to_ascii_lowercase()))) } else { Err(AllowError) }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Of::V4(address, length) => write!(f, "{address}/{length}"),
            Of::V6(address, length) => write!(f, "{address}/{length}"),
            Of::Host(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        for (allow, inside, outside) in [
            (
                "10.1.0.0/16",
                &["10.1.0.0", "10.1.255.255"][..],
                &["10.0.255.255", "10.2.0.0", "::ffff:10.1.0.0"][..],
            ),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.2", "10.1.2.4"]),
            ("0.0.0.0/0", &["1.2.3.4", "255.255.255.255"], &["::1"]),
            ("fd00::/8", &["fd12::1", "fdff::"], &["fc00::1", "fe00::1"]),
            ("::/0", &["::1", "ffff::"], &["1.2.3.4"]),
            ("::1", &["::1"], &["::2", "::"]),
        ] {
            let allow: Allow = allow.parse().unwrap();
            assert!(inside.iter().all(|address| allow.has(address.parse().unwrap())), "{allow}");
            assert!(!outside.iter().any(|address| allow.has(address.parse().unwrap())), "{allow}");
        }
        let host: Allow = "Hooks.Example".parse().unwrap();
        assert!(host.is_host("hooks.example") && !host.is_host("a.hooks.example") && !host.is_host(""));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "10.0/8",
            "a b",
            "https://a.example",
            "a/8",
            "1.2",
        ] {
            assert_eq!(bad.parse::<Allow>(), Err(AllowError), "{bad}");
        }
    }
}
