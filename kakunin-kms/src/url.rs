//! Where keys are, in one string of an operator's configuration.
//!
//! ```text
//! local:/var/lib/kakunin/keys?key-file=/etc/kakunin/key.secret
//! awskms:region=eu-west-1;deployment=prod?sign-rsa-rate=200
//! pkcs11:token=kakunin;serial=1d37?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/kakunin/pin
//! ```
//!
//! The form is that of RFC 7512 for all three: attributes separated by `;` before the `?` and by `&` after
//! it, where either place will do, and octets as `%xx`. What follows `local:` is a folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use kakunin_core::key::{KeyProvider, SignError};

/// Which provider, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUrl {
    scheme: Scheme,
    folder: Option<PathBuf>,
    attributes: BTreeMap<&'static str, String>,
}

/// A kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Software keys in a folder.
    Local,
    /// AWS KMS.
    AwsKms,
    /// A PKCS#11 token.
    Pkcs11,
}

/// Why a URL opens no provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUrlError {
    /// No scheme, or another.
    #[error("a key URL begins with `local:`, `awskms:` or `pkcs11:`")]
    Scheme,
    /// Not `name=value`, or a `%` without two hex digits.
    #[error("a key URL is `scheme:name=value;name=value?name=value&name=value`, with octets as %xx")]
    Malformed,
    /// This scheme has no such attribute.
    #[error("`{scheme}:` has no attribute `{name}`; it has {known}")]
    Unknown {
        /// The scheme.
        scheme: &'static str,
        /// The attribute.
        name: String,
        /// What there is.
        known: String,
    },
    /// An attribute is there twice.
    #[error("the attribute `{0}` is there twice")]
    Twice(&'static str),
    /// An attribute that is needed is missing, or its value is none.
    #[error("the attribute `{name}` is {needed}")]
    Value {
        /// The attribute.
        name: &'static str,
        /// What it is.
        needed: &'static str,
    },
    /// This build has not that provider.
    #[error("this build cannot open `{0}:` keys; build it with the feature `{1}`")]
    NotBuilt(&'static str, &'static str),
    /// A file that the URL names cannot be used.
    #[error("cannot use {path}: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The provider cannot be opened.
    #[error(transparent)]
    Provider(#[from] SignError),
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::AwsKms => "awskms",
            Self::Pkcs11 => "pkcs11",
        }
    }

    const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Local => &["key-file"],
            Self::AwsKms => &[
                "region",
                "deployment",
                "endpoint",
                "key-policy-file",
                "deletion-days",
                "create-rate",
                "manage-rate",
                "read-rate",
                "sign-rsa-rate",
                "sign-ecc-rate",
            ],
            Self::Pkcs11 => &[
                "token",
                "serial",
                "manufacturer",
                "model",
                "slot-id",
                "module-path",
                "pin-source",
                "pin-value",
                "x-sessions",
            ],
        }
    }
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

    fn get(&self, name: &str) -> Option<&str> {
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

    fn slot(&self) -> Result<Option<u64>, KeyUrlError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        };
        let needed = "a number, in decimal digits";
        let invalid = KeyUrlError::Value { name: "slot-id", needed };
        self.get("slot-id").map(|text| number(text).ok_or(invalid)).transpose()
    }

    fn number(&self, name: &'static str) -> Result<Option<u32>, KeyUrlError> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=100_000).contains(n));
        let needed = "a number from 1 to 100,000";
        self.get(name).map(|text| number(text).ok_or(KeyUrlError::Value { name, needed })).transpose()
    }

    /// Opens the provider.
    ///
    /// # Errors
    /// [`KeyUrlError`]; [`KeyUrlError::NotBuilt`] without the provider's feature.
    pub async fn open(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        match self.scheme {
            #[cfg(feature = "local")]
            Scheme::Local => self.open_local(),
            #[cfg(feature = "aws-config")]
            Scheme::AwsKms => self.open_aws().await,
            #[cfg(feature = "pkcs11")]
            Scheme::Pkcs11 => self.open_pkcs11(),
            #[allow(unreachable_patterns, reason = "reachable without the features above")]
            Scheme::Local => Err(KeyUrlError::NotBuilt("local", "local")),
            #[allow(unreachable_patterns, reason = "reachable without the features above")]
            Scheme::AwsKms => Err(KeyUrlError::NotBuilt("awskms", "aws-config")),
            #[allow(unreachable_patterns, reason = "reachable without the features above")]
            Scheme::Pkcs11 => Err(KeyUrlError::NotBuilt("pkcs11", "pkcs11")),
        }
    }

    #[cfg(feature = "local")]
    fn open_local(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        use crate::local::{LocalKeys, Secret};
        let folder =
            self.folder().ok_or(KeyUrlError::Value { name: "local", needed: "followed by a folder" })?;
        let file = self.key_file().ok_or(KeyUrlError::Value { name: "key-file", needed: "needed" })?;
        let unusable =
            |why: &dyn fmt::Display| KeyUrlError::File { path: file.to_owned(), why: why.to_string() };
        let secret = Secret::from_key_file(file).map_err(|error| unusable(&error))?;
        Ok(Arc::new(LocalKeys::open(folder, &secret)?))
    }

    #[cfg(feature = "aws-config")]
    async fn open_aws(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        use crate::aws::{AwsConfig, AwsKeys, Quotas};
        let text = |name| self.get(name).unwrap_or_default();
        let mut config = AwsConfig::from_environment(text("region"), text("deployment")).await;
        config.endpoint = self.get("endpoint").map(str::to_owned);
        if let Some(path) = self.get("key-policy-file").map(PathBuf::from) {
            let read = std::fs::read_to_string(&path);
            config.key_policy = Some(read.map_err(|e| KeyUrlError::File { path, why: e.to_string() })?);
        }
        if let Some(days) = self.number("deletion-days")? {
            config.deletion_days = u8::try_from(days)
                .map_err(|_| KeyUrlError::Value { name: "deletion-days", needed: "a number from 7 to 30" })?;
        }
        let Quotas { create, manage, read, sign_rsa, sign_ecc } = config.quotas;
        config.quotas = Quotas {
            create: self.number("create-rate")?.unwrap_or(create),
            manage: self.number("manage-rate")?.unwrap_or(manage),
            read: self.number("read-rate")?.unwrap_or(read),
            sign_rsa: self.number("sign-rsa-rate")?.unwrap_or(sign_rsa),
            sign_ecc: self.number("sign-ecc-rate")?.unwrap_or(sign_ecc),
        };
        Ok(Arc::new(AwsKeys::new(config)?))
    }

    #[cfg(feature = "pkcs11")]
    fn open_pkcs11(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        use crate::pkcs11::{Pkcs11Config, Pkcs11Keys, WhichToken};
        use zeroize::Zeroizing;
        let pin = match self.get("pin-source") {
            Some(source) => pin(Path::new(source.strip_prefix("file:").unwrap_or(source)))?,
            None => Zeroizing::new(self.get("pin-value").unwrap_or_default().to_owned()),
        };
        let sessions = self.number("x-sessions")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(8);
        let module = PathBuf::from(self.get("module-path").unwrap_or_default());
        let text = |name| self.get(name).map(str::to_owned);
        let token = WhichToken {
            label: text("token"),
            serial: text("serial"),
            manufacturer: text("manufacturer"),
            model: text("model"),
            slot: self.slot()?,
        };
        Ok(Arc::new(Pkcs11Keys::open(Pkcs11Config { module, token, pin, sessions })?))
    }
}

/// A PIN in a file that nobody else may read.
#[cfg(feature = "pkcs11")]
fn pin(path: &Path) -> Result<zeroize::Zeroizing<String>, KeyUrlError> {
    let unusable = |why: String| KeyUrlError::File { path: path.to_owned(), why };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(|e| unusable(e.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(unusable("others may read it; chmod 600".to_owned()));
        }
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unusable(e.to_string()))?);
    Ok(zeroize::Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
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
