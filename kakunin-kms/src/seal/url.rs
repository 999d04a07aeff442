//! Which seal, in one string of an operator's configuration.
//!
//! ```text
//! file:/run/secrets/kakunin-seal
//! awskms:region=eu-west-1;key-id=alias/kakunin-seal
//! pkcs11:token=kakunin;object=seal?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/kakunin/pin
//! ```
//!
//! The form is that of URLs of keys, see [`crate::url`]: a token is named by the same attributes, its key by
//! `object` (the label) or `id` or both, as in RFC 7512.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::contract::{Seal, SealError};
use super::file::FileSeal;
use crate::url::KeyUrlError;
use crate::url::attributes::{Attributes, decoded};

/// A kind of seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealKind {
    /// 32 octets in a file.
    File,
    /// A symmetric key of AWS KMS.
    AwsKms,
    /// An AES-256 key of a PKCS#11 token.
    Pkcs11,
}

impl SealKind {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::AwsKms => "awskms",
            Self::Pkcs11 => "pkcs11",
        }
    }

    const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::File => &[],
            Self::AwsKms => &["region", "key-id", "endpoint", "read-rate"],
            Self::Pkcs11 => &[
                "token",
                "serial",
                "manufacturer",
                "model",
                "slot-id",
                "object",
                "id",
                "module-path",
                "pin-source",
                "pin-value",
                "x-sessions",
            ],
        }
    }
}

/// Which seal, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealUrl {
    kind: SealKind,
    path: Option<PathBuf>,
    attributes: Attributes,
}

/// Why a URL opens no seal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealUrlError {
    /// No scheme, or another.
    #[error("the URL of a seal begins with `file:`, `awskms:` or `pkcs11:`")]
    Scheme,
    /// `file:` is followed by nothing.
    #[error("`file:` is followed by the path of a file")]
    NoPath,
    /// An attribute, or a file that one names.
    #[error(transparent)]
    Url(#[from] KeyUrlError),
    /// This build has not that seal.
    #[error("this build has no seals by `{0}:`; build it with the feature `{1}`")]
    NotBuilt(&'static str, &'static str),
    /// The seal cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl FromStr for SealUrl {
    type Err = SealUrlError;

    fn from_str(text: &str) -> Result<Self, SealUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(SealUrlError::Scheme)?;
        let all = [SealKind::File, SealKind::AwsKms, SealKind::Pkcs11];
        let kind = all.into_iter().find(|s| s.name() == scheme).ok_or(SealUrlError::Scheme)?;
        let (before, after) = rest.split_once('?').unwrap_or((rest, ""));
        let mut pairs: Vec<&str> = after.split('&').collect();
        let mut path = None;
        if kind == SealKind::File {
            let named = Some(decoded(before)?).filter(|path| !path.is_empty());
            path = Some(PathBuf::from(named.ok_or(SealUrlError::NoPath)?));
        } else {
            pairs.extend(before.split(';'));
        }
        let attributes = Attributes::read(kind.name(), kind.attributes(), pairs)?;
        let url = Self { kind, path, attributes };
        url.check()?;
        Ok(url)
    }
}

impl SealUrl {
    /// Which kind of seal it names.
    #[must_use]
    pub const fn kind(&self) -> SealKind {
        self.kind
    }

    /// The file of a seal that is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Opens the seal.
    ///
    /// # Errors
    /// [`SealUrlError`]; [`SealUrlError::NotBuilt`] without the seal's features.
    pub async fn open(&self) -> Result<Arc<dyn Seal>, SealUrlError> {
        match self.kind {
            SealKind::File => {
                let path = self.path().ok_or(SealUrlError::NoPath)?;
                Ok(Arc::new(FileSeal::open(path)?))
            }
            #[cfg(feature = "aws-config")]
            SealKind::AwsKms => self.open_aws().await,
            #[cfg(feature = "pkcs11")]
            SealKind::Pkcs11 => self.open_pkcs11().await,
            #[allow(unreachable_patterns, reason = "reachable without the features above")]
            SealKind::AwsKms => Err(SealUrlError::NotBuilt("awskms", "aws-config")),
            #[allow(unreachable_patterns, reason = "reachable without the features above")]
            SealKind::Pkcs11 => Err(SealUrlError::NotBuilt("pkcs11", "pkcs11")),
        }
    }

    #[cfg(feature = "aws-config")]
    async fn open_aws(&self) -> Result<Arc<dyn Seal>, SealUrlError> {
        use crate::aws::{AwsConfig, KmsSeal};
        let text = |name| self.attributes.get(name).unwrap_or_default();
        // Nothing is made, so that there is no deployment to name.
        let mut config = AwsConfig::from_environment(text("region"), "").await;
        config.endpoint = self.attributes.get("endpoint").map(str::to_owned);
        config.quotas.read = self.attributes.number("read-rate")?.unwrap_or(config.quotas.read);
        Ok(Arc::new(KmsSeal::new(&config, text("key-id"))?))
    }

    #[cfg(feature = "pkcs11")]
    async fn open_pkcs11(&self) -> Result<Arc<dyn Seal>, SealUrlError> {
        use crate::pkcs11::{HsmSeal, SealingKey};
        let key = SealingKey {
            label: self.attributes.get("object").map(str::to_owned),
            id: self.attributes.octets("id").map(<[u8]>::to_vec),
        };
        let token = crate::url::open::token(&self.attributes)?;
        Ok(Arc::new(HsmSeal::open(token, key).await?))
    }

    fn check(&self) -> Result<(), KeyUrlError> {
        match self.kind {
            SealKind::File => Ok(()),
            SealKind::AwsKms => {
                self.attributes.need(&["region", "key-id"])?;
                self.attributes.number("read-rate").map(drop)
            }
            SealKind::Pkcs11 => {
                self.attributes.need(&["module-path"])?;
                self.attributes.check_token()?;
                self.attributes.number("x-sessions")?;
                self.attributes.refuse_empty(&["object", "id"])?;
                if self.attributes.octets("object").or(self.attributes.octets("id")).is_none() {
                    return Err(KeyUrlError::Value { name: "object", needed: "needed, or `id`" });
                }
                Ok(())
            }
        }
    }
}

/// Opens the seal that a URL names.
///
/// # Errors
/// [`SealUrlError`].
pub async fn from_url(url: &str) -> Result<Arc<dyn Seal>, SealUrlError> {
    url.parse::<SealUrl>()?.open().await
}

/// The scheme and the names of what is given; a PIN may be among the values.
impl fmt::Debug for SealUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.attributes.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_no_pin_is_shown() {
        let file: SealUrl = "file:/a%20b".parse().unwrap();
        assert_eq!((file.kind(), file.path()), (SealKind::File, Some(Path::new("/a b"))));
        let kms: SealUrl = "awskms:region=eu-west-1;key-id=arn:aws:kms:eu-west-1:1:key/x".parse().unwrap();
        assert_eq!(kms.kind(), SealKind::AwsKms);
        assert_eq!(kms.attributes.get("key-id"), Some("arn:aws:kms:eu-west-1:1:key/x"));
        let hsm: SealUrl = "pkcs11:token=a;id=%ff%00?module-path=/m&pin-value=271828".parse().unwrap();
        assert_eq!(hsm.attributes.octets("id"), Some(&[0xff, 0][..]));
        assert!(!format!("{hsm:?}").contains("271828"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, said) in [
            ("", "begins with"),
            ("/a/path", "begins with"),
            ("local:/a", "begins with"),
            ("file:", "path of a file"),
            ("file:/a?key-file=/b", "no attribute `key-file`"),
            ("file:/a%zz", "%xx"),
            ("awskms:region=a", "`key-id` is needed"),
            ("awskms:key-id=a", "`region` is needed"),
            ("awskms:region=a;key-id=a;deployment=b", "no attribute `deployment`"),
            ("awskms:region=a;key-id=a;key-id=b", "twice"),
            ("awskms:region=a;key-id=a?read-rate=0", "`read-rate` is a number"),
            ("pkcs11:token=a?module-path=/m&pin-value=1", "`object` is needed, or `id`"),
            ("pkcs11:token=a;object=?module-path=/m&pin-value=1", "`object` is empty"),
            ("pkcs11:object=a?module-path=/m&pin-value=1", "`token` is needed"),
            ("pkcs11:token=a;object=b?module-path=/m", "`pin-source` is needed"),
            ("pkcs11:token=a;object=b?pin-value=1", "`module-path` is needed"),
        ] {
            let error = url.parse::<SealUrl>().unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
