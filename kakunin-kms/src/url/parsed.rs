//! A URL that follows the form, and whose attributes are those of its scheme.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::KeyUrlError;
use super::scheme::Scheme;

/// Which provider, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUrl {
    scheme: Scheme,
    folder: Option<PathBuf>,
    attributes: BTreeMap<&'static str, String>,
}

impl FromStr for KeyUrl {
    type Err = KeyUrlError;

    fn from_str(text: &str) -> Result<Self, KeyUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(KeyUrlError::Scheme)?;
        let all = [Scheme::Local, Scheme::AwsKms, Scheme::Pkcs11];
        let scheme = all.into_iter().find(|s| s.name() == scheme).ok_or(KeyUrlError::Scheme)?;
        let (before, after) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self { scheme, folder: None, attributes: BTreeMap::new() };
        let mut pairs: Vec<&str> = after.split('&').collect();
        if scheme == Scheme::Local {
            url.folder = Some(decoded(before)?).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        } else {
            pairs.extend(before.split(';'));
        }
        for pair in pairs.into_iter().filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(KeyUrlError::Malformed)?;
            let known = scheme.attributes();
            let name = known.iter().find(|k| **k == name).ok_or_else(|| KeyUrlError::Unknown {
                scheme: scheme.name(),
                name: name.to_owned(),
                known: known.join(", "),
            })?;
            if url.attributes.insert(name, decoded(value)?).is_some() {
                return Err(KeyUrlError::Twice(name));
            }
        }
        url.check()?;
        Ok(url)
    }
}

fn decoded(text: &str) -> Result<String, KeyUrlError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
        octets.push(match octet {
            b'%' => {
                let (high, low) =
                    (digit().ok_or(KeyUrlError::Malformed)?, digit().ok_or(KeyUrlError::Malformed)?);
                u8::try_from(high * 16 + low).map_err(|_| KeyUrlError::Malformed)?
            }
            other => other,
        });
    }
    String::from_utf8(octets).map_err(|_| KeyUrlError::Malformed)
}

impl KeyUrl {
    /// Which kind of provider it names.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The folder of software keys, if it names one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The file with the key that encrypts software keys, if it names one.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        self.get("key-file").map(Path::new)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn check(&self) -> Result<(), KeyUrlError> {
        let needed: &[&'static str] = match self.scheme {
            Scheme::Local => &[],
            Scheme::AwsKms => &["region", "deployment"],
            Scheme::Pkcs11 => &["module-path"],
        };
        for name in needed {
            if self.get(name).is_none_or(str::is_empty) {
                return Err(KeyUrlError::Value { name, needed: "needed" });
            }
        }
        let numbers = ["deletion-days", "create-rate", "manage-rate", "read-rate", "sign-rsa-rate"];
        for name in numbers.into_iter().chain(["sign-ecc-rate", "x-sessions"]) {
            self.number(name)?;
        }
        if self.scheme == Scheme::Pkcs11 {
            self.check_token()?;
        }
        if self.scheme == Scheme::Pkcs11
            && self.get("pin-source").is_some() == self.get("pin-value").is_some()
        {
            return Err(KeyUrlError::Value {
                name: "pin-source",
                needed: "needed, or `pin-value`, and not both",
            });
        }
        Ok(())
    }

    // The attributes of RFC 7512, 2.3, that name a token; one that is unknown is refused above, as 2.5 wants.
    fn check_token(&self) -> Result<(), KeyUrlError> {
        for name in ["token", "serial", "manufacturer", "model", "slot-id"] {
            if self.get(name).is_some_and(str::is_empty) {
                return Err(KeyUrlError::Value { name, needed: "empty; give its value, or leave it out" });
            }
        }
        if !["token", "serial", "slot-id"].into_iter().any(|name| self.get(name).is_some()) {
            return Err(KeyUrlError::Value { name: "token", needed: "needed, or `serial`, or `slot-id`" });
        }
        self.slot().map(|_| ())
    }

    pub(super) fn slot(&self) -> Result<Option<u64>, KeyUrlError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        };
        let needed = "a number, in decimal digits";
        let invalid = KeyUrlError::Value { name: "slot-id", needed };
        self.get("slot-id").map(|text| number(text).ok_or(invalid)).transpose()
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<u32>, KeyUrlError> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=100_000).contains(n));
        let needed = "a number from 1 to 100,000";
        self.get(name).map(|text| number(text).ok_or(KeyUrlError::Value { name, needed })).transpose()
    }
}

/// The scheme and the names of what is given; a PIN may be among the values.
impl fmt::Debug for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.name(), self.attributes.keys().copied().collect::<Vec<_>>().join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stand_on_either_side_and_are_decoded() {
        let one: KeyUrl = "awskms:region=eu-west-1;deployment=prod?create-rate=3".parse().unwrap();
        let two: KeyUrl = "awskms:?create-rate=3&deployment=pr%6fd&region=eu-west-1".parse().unwrap();
        assert_eq!(one, two);
        let local: KeyUrl = "local:/a%20b?key-file=/c".parse().unwrap();
        assert_eq!((local.folder(), local.key_file()), (Some(Path::new("/a b")), Some(Path::new("/c"))));
        assert_eq!("local:".parse::<KeyUrl>().unwrap().folder(), None);
        let hsm: KeyUrl = "pkcs11:token=a;pin-value=271828?module-path=/m".parse().unwrap();
        assert_eq!(hsm.scheme(), Scheme::Pkcs11);
        assert!(!format!("{hsm:?}").contains("271828"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, said) in [
            ("", "begins with"),
            ("gcpkms:x", "begins with"),
            ("/a/path", "begins with"),
            ("awskms:region=eu-west-1", "`deployment` is needed"),
            ("awskms:region=;deployment=a", "`region` is needed"),
            ("awskms:region=a;deployment=a;profile=x", "no attribute `profile`"),
            ("awskms:region=a;deployment=a?read-rate=0", "`read-rate` is a number"),
            ("awskms:region=a;deployment=a?read-rate=many", "`read-rate` is a number"),
            ("awskms:region=a;region=b", "twice"),
            ("awskms:region", "scheme:name=value"),
            ("awskms:region=%zz", "scheme:name=value"),
            ("awskms:region=%f", "scheme:name=value"),
            ("awskms:region=%ff", "scheme:name=value"),
            ("pkcs11:token=a?module-path=/m", "`pin-source` is needed"),
            ("pkcs11:model=a?module-path=/m&pin-value=1", "`token` is needed, or `serial`, or `slot-id`"),
            ("pkcs11:token=a;serial=?module-path=/m&pin-value=1", "`serial` is empty"),
            ("pkcs11:slot-id=0x1?module-path=/m&pin-value=1", "`slot-id` is a number"),
            ("pkcs11:slot-id=+1?module-path=/m&pin-value=1", "`slot-id` is a number"),
            ("pkcs11:token=a;token=b?module-path=/m&pin-value=1", "twice"),
            ("pkcs11:token=a?module-path=/m&pin-value=1&pin-source=/p", "not both"),
            ("pkcs11:token=a;object=key?module-path=/m&pin-value=1", "no attribute `object`"),
            ("local:/a?pin-value=1", "no attribute `pin-value`"),
        ] {
            let error = url.parse::<KeyUrl>().unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
