//! TLS by rustls: files that are read again when they change, and client certificates of agents.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};

use super::options::{ServeError, Tls};

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The configuration in force, and what it was read from.
#[derive(Debug)]
pub(super) struct Reloading {
    files: Tls,
    authorities: Vec<Vec<u8>>,
    current: RwLock<(Arc<ServerConfig>, Stamp)>,
}

type Stamp = [Option<SystemTime>; 2];

impl Reloading {
    /// Reads the files. Client certificates must come from one of `authorities`, so that an agent may present its
    /// leaf alone.
    pub(super) fn load(files: &Tls, authorities: Vec<Vec<u8>>) -> Result<Self, ServeError> {
        let stamp = stamp(files);
        let config = read(files, &authorities)?;
        Ok(Self { files: files.clone(), authorities, current: RwLock::new((config, stamp)) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Reads the files again if they changed; connections from now on see it. Files that cannot be used
    /// leave the old configuration in force.
    pub(super) fn look(&self) {
        let stamp = stamp(&self.files);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamp {
            return;
        }
        let read = read(&self.files, &self.authorities);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.1 = stamp;
        match read {
            Ok(config) => {
                current.0 = config;
                tracing::info!("the TLS certificate was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the TLS files changed and cannot be used; the old ones stay")
            }
        }
    }
}

fn stamp(files: &Tls) -> Stamp {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
}

fn read(files: &Tls, authorities: &[Vec<u8>]) -> Result<Arc<ServerConfig>, ServeError> {
    let unusable =
        |path: &Path, error: &dyn std::fmt::Display| ServeError::Tls(format!("{}: {error}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(&files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = |error: rustls::Error| unusable(&files.certificate, &error);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let builder = if files.client_certificates {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from(authority.clone())).map_err(tls)?;
        }
        // Revocation is the gateway check's, at each request: a connection may outlive a certificate.
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| ServeError::Tls(error.to_string()))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).map_err(tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Tls {
    /// TLS with these files, without client certificates.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_certificates: false }
    }
}
