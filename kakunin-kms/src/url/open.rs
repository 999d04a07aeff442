//! Opens the provider that a URL names.

#[cfg(feature = "local")]
use std::fmt;
#[cfg(feature = "pkcs11")]
use std::path::Path;
#[cfg(any(feature = "aws-config", feature = "pkcs11"))]
use std::path::PathBuf;
use std::sync::Arc;

use kakunin_core::key::KeyProvider;

#[cfg(feature = "pkcs11")]
use super::attributes::Attributes;
use super::error::KeyUrlError;
use super::parsed::KeyUrl;
use super::scheme::Scheme;

impl KeyUrl {
    /// Opens the provider.
    ///
    /// # Errors
    /// [`KeyUrlError`]; [`KeyUrlError::NotBuilt`] without the provider's feature.
    pub async fn open(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        match self.scheme() {
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
        let of = &self.attributes;
        let text = |name| of.get(name).unwrap_or_default();
        let mut config = AwsConfig::from_environment(text("region"), text("deployment")).await;
        config.endpoint = of.get("endpoint").map(str::to_owned);
        if let Some(path) = of.get("key-policy-file").map(PathBuf::from) {
            let read = std::fs::read_to_string(&path);
            config.key_policy = Some(read.map_err(|e| KeyUrlError::File { path, why: e.to_string() })?);
        }
        if let Some(days) = of.number("deletion-days")? {
            config.deletion_days = u8::try_from(days)
                .map_err(|_| KeyUrlError::Value { name: "deletion-days", needed: "a number from 7 to 30" })?;
        }
        let Quotas { create, manage, read, sign_rsa, sign_ecc } = config.quotas;
        config.quotas = Quotas {
            create: of.number("create-rate")?.unwrap_or(create),
            manage: of.number("manage-rate")?.unwrap_or(manage),
            read: of.number("read-rate")?.unwrap_or(read),
            sign_rsa: of.number("sign-rsa-rate")?.unwrap_or(sign_rsa),
            sign_ecc: of.number("sign-ecc-rate")?.unwrap_or(sign_ecc),
        };
        Ok(Arc::new(AwsKeys::new(config)?))
    }

    #[cfg(feature = "pkcs11")]
    fn open_pkcs11(&self) -> Result<Arc<dyn KeyProvider>, KeyUrlError> {
        Ok(Arc::new(crate::pkcs11::Pkcs11Keys::open(token(&self.attributes)?)?))
    }
}

/// The token that a URL names.
#[cfg(feature = "pkcs11")]
pub(crate) fn token(of: &Attributes) -> Result<crate::pkcs11::Pkcs11Config, KeyUrlError> {
    use crate::pkcs11::{Pkcs11Config, WhichToken};
    use zeroize::Zeroizing;
    let pin = match of.get("pin-source") {
        Some(source) => pin(Path::new(source.strip_prefix("file:").unwrap_or(source)))?,
        None => Zeroizing::new(of.get("pin-value").unwrap_or_default().to_owned()),
    };
    let sessions = of.number("x-sessions")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(8);
    let module = PathBuf::from(of.get("module-path").unwrap_or_default());
    let text = |name| of.get(name).map(str::to_owned);
    let token = WhichToken {
        label: text("token"),
        serial: text("serial"),
        manufacturer: text("manufacturer"),
        model: text("model"),
        slot: of.slot()?,
    };
    Ok(Pkcs11Config { module, token, pin, sessions })
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
