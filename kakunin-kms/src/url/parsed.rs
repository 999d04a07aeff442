//! A URL that follows the form, and whose attributes are those of its scheme.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::attributes::{Attributes, decoded};
use super::error::KeyUrlError;
use super::scheme::Scheme;

/// Which provider, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUrl {
    scheme: Scheme,
    folder: Option<PathBuf>,
    pub(super) attributes: Attributes,
}

impl FromStr for KeyUrl {
    type Err = KeyUrlError;

    fn from_str(text: &str) -> Result<Self, KeyUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(KeyUrlError::Scheme)?;
        let all = [Scheme::Local, Scheme::AwsKms, Scheme::Pkcs11];
        let scheme = all.into_iter().find(|s| s.name() == scheme).ok_or(KeyUrlError::Scheme)?;
        let (before, after) = rest.split_once('?').unwrap_or((rest, ""));
        let mut pairs: Vec<&str> = after.split('&').collect();
        let mut folder = None;
        if scheme == Scheme::Local {
            folder = Some(decoded(before)?).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        } else {
            pairs.extend(before.split(';'));
        }
        let attributes = Attributes::read(scheme.name(), scheme.attributes(), pairs)?;
        let url = Self { scheme, folder, attributes };
        url.check()?;
        Ok(url)
    }
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
        self.attributes.get("key-file").map(Path::new)
    }

    fn check(&self) -> Result<(), KeyUrlError> {
        self.attributes.need(match self.scheme {
            Scheme::Local => &[],
            Scheme::AwsKms => &["region", "deployment"],
            Scheme::Pkcs11 => &["module-path"],
        })?;
        let numbers = ["deletion-days", "create-rate", "manage-rate", "read-rate", "sign-rsa-rate"];
        for name in numbers.into_iter().chain(["sign-ecc-rate", "x-sessions"]) {
            self.attributes.number(name)?;
        }
        if self.scheme == Scheme::Pkcs11 { self.attributes.check_token() } else { Ok(()) }
    }
}

/// The scheme and the names of what is given; a PIN may be among the values.
impl fmt::Debug for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.name(), self.attributes.names())
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
