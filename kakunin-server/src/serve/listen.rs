//! Where to listen: an address, or a name of this machine.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// An address to listen at, as it is written: `ADDRESS:PORT`, or `NAME:PORT`, which is looked up once. Of a name that has
/// addresses of both families, as `localhost` has, it is the first of IPv4: clients try both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

/// Not an address to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Neither an address nor a name, or without a port.
    #[error(
        "`{0}` is no address to listen at: write ADDRESS:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080"
    )]
    Malformed(String),
    /// A name that nothing is known by.
    #[error("`{0}` has no address: {1}; write ADDRESS:PORT, such as 127.0.0.1:8080")]
    Unknown(String, String),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let malformed = || ListenError::Malformed(text.to_owned());
        let (name, port) = text.split_once(':').ok_or_else(malformed)?;
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port: u16 = port.parse().ok().filter(|_| digits).ok_or_else(malformed)?;
        // Digits and dots alone are an address that is written wrong: some resolvers make one of them.
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            && name
                .rsplit('.')
                .next()
                .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
        if !is_name {
            return Err(malformed());
        }
        let unknown = |why: String| ListenError::Unknown(name.to_owned(), why);
        let all: Vec<_> =
            (name, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        let chosen = all.iter().find(|address| address.is_ipv4()).or(all.first());
        chosen.map(|address| Self(*address)).ok_or_else(|| unknown("nothing was found".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_and_anything_else_is_told_how_to_write_one() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST:0", "127.0.0.1:0"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().0.to_string(), expected);
        }
        for text in [
            "",
            "8080",
            ":8080",
            "localhost",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "127.0.0.1",
            "127.1:80",
            "0x7f.0.0.1:80",
            "::1:80",
            "http://localhost:80",
            "a b:80",
        ] {
            let said = text.parse::<Listen>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")) && said.contains("localhost:8080"), "{said}");
        }
        assert!("nothing.invalid:80".parse::<Listen>().is_err_and(|e| matches!(e, ListenError::Unknown(..))));
    }
}
