//! `Content-Digest` (RFC 9530): what content has to be.

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256, Sha512};

use super::profile::invalid;
use crate::denied::Denied;

const NAME: &str = "content-digest";
const MAX_FIELD_LEN: usize = 1_024;
/// Most algorithms of one field.
const MOST: usize = 8;

/// The digests of a field that are worth something: SHA-256 and SHA-512, at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentDigest {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl ContentDigest {
    /// Reads a dictionary of byte sequences (RFC 8941, 3.2). Algorithms that are not known, or broken, are passed over.
    pub(super) fn parse(text: &str) -> Result<Self, Denied> {
        read(text).ok_or_else(|| invalid(NAME))
    }

    /// Whether it is that of `content`, by every algorithm that it names.
    pub(super) fn fits(&self, content: &[u8]) -> Result<(), Denied> {
        let same256 = self.sha256.as_ref().is_none_or(|digest| Sha256::digest(content)[..] == **digest);
        let same512 = self.sha512.as_ref().is_none_or(|digest| Sha512::digest(content)[..] == **digest);
        if same256 && same512 { Ok(()) } else { Err(invalid(NAME)) }
    }
}

fn read(text: &str) -> Option<ContentDigest> {
    let mut found = ContentDigest { sha256: None, sha512: None };
    let members: Vec<_> = text.split(',').take(MOST + 1).collect();
    if text.len() > MAX_FIELD_LEN || members.len() > MOST {
        return None;
    }
    let mut names = Vec::with_capacity(members.len());
    for member in members {
        let (name, value) = member.trim_matches([' ', '\t']).split_once('=')?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.*".contains(&b);
        // A name that comes twice is read differently by others.
        if name.is_empty() || !name.bytes().all(plain) || names.contains(&name) {
            return None;
        }
        names.push(name);
        let octets = sequence(value)?;
        match name {
            "sha-256" => found.sha256 = Some(octets).filter(|octets| octets.len() == 32).map(Some)?,
            "sha-512" => found.sha512 = Some(octets).filter(|octets| octets.len() == 64).map(Some)?,
            _ => {}
        }
    }
    (found.sha256.is_some() || found.sha512.is_some()).then_some(found)
}

// Padding may be left out (RFC 8941, 4.2.7).
fn sequence(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(':')?.strip_suffix(':')?;
    Base64::decode_vec(inner).or_else(|_| Base64Unpadded::decode_vec(inner)).ok()
}

/// The field for `content`, as this crate's agents write it.
pub(super) fn write(content: &[u8]) -> String {
    format!("sha-256=:{}:", Base64::encode_string(&Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_that_counts_has_to_be_that_of_the_content() {
        let good = write(b"x");
        let long = format!("sha-512=:{}:", Base64::encode_string(&Sha512::digest(b"x")));
        let unpadded = good.replace("=:", ":").replacen(':', "=:", 1);
        let wrong = long.replacen(":", ":A", 1).replacen("==:", "=:", 1);
        let both = format!("{good}, {long}");
        for text in
            [&good, &long, &both, &unpadded, &format!("md5=:AAAA:,\t{good}"), &format!("{long},{good}")]
        {
            let digest = ContentDigest::parse(text).unwrap_or_else(|_| panic!("{text}"));
            assert!(
                digest.fits(b"x").is_ok() && digest.fits(b"y").is_err() && digest.fits(b"").is_err(),
                "{text}"
            );
        }
        let mixed = format!("{}, {long}", write(b"y"));
        assert!(ContentDigest::parse(&mixed).unwrap().fits(b"x").is_err(), "one of two");
        let upper = good.replace("sha", "SHA");
        for bad in [
            "",
            "sha-256",
            "sha-256=",
            "sha-256=::",
            "sha-256=:AAAA:",
            "md5=:AAAA:",
            "sha-1=:AAAA:",
            &upper,
            &wrong,
            &format!("{good}, {good}"),
            &format!("{good},"),
            &format!("{good};q=1"),
            &good[..good.len() - 1],
            &format!("{good}{}", " ".repeat(2_000)),
            &["a=:AAAA:"; 9].join(","),
        ] {
            assert!(ContentDigest::parse(bad).is_err(), "{bad}");
        }
    }
}
