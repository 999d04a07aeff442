//! Whom TLS trusts, and who a client is there.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::broken::broken;
use super::error::HttpError;

/// Certificate chain and key, with which a client shows who it is in a handshake.
pub type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Whom TLS trusts.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Those of the system are read when they are first needed.
    roots: Arc<OnceLock<Arc<RootCertStore>>>,
}

impl Tls {
    /// Trusts whom this machine trusts, or the file that `SSL_CERT_FILE` names. It may be nobody.
    #[must_use]
    pub fn system() -> Self {
        Self { roots: Arc::default() }
    }

    /// Trusts these certificates and no others.
    ///
    /// # Errors
    /// [`HttpError::Root`]; [`HttpError::NoRoots`] if there are none.
    pub fn trusting<'a>(
        certificates: impl IntoIterator<Item = CertificateDer<'a>>,
    ) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.into_owned()).map_err(|error| HttpError::Root(broken(&error)))?;
        }
        if roots.is_empty() { Err(HttpError::NoRoots) } else { Ok(Self::of(roots)) }
    }

    /// Trusts nobody: for what needs no TLS.
    pub(super) fn nobody() -> Self {
        Self::of(RootCertStore::empty())
    }

    fn of(roots: RootCertStore) -> Self {
        Self { roots: Arc::new(OnceLock::from(Arc::new(roots))) }
    }

    fn roots(&self) -> &Arc<RootCertStore> {
        self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        })
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.roots().is_empty()
    }

    /// Each client has one of its own, so that none goes on with what another one was allowed.
    pub(super) fn config(&self, shown: Option<Shown>) -> Result<ClientConfig, HttpError> {
        let unusable = |error: rustls::Error| HttpError::Shown(broken(&error));
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(self.roots().clone());
        let mut config = match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
