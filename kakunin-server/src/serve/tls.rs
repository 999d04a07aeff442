//! TLS by rustls: files that are read again when they change, and client certificates of agents.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kakunin_verify::feed::broken;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::options::{ServeError, Tls};
use crate::pem_file;

/// How often the files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The configuration in force, and what it was read from.
#[derive(Debug)]
pub(super) struct Reloading {
    authorities: Vec<Vec<u8>>,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    files: Tls,
    loaded: Loaded,
    /// Of what was looked at last, also if it could not be used.
    stamp: Stamp,
}

/// Files that can be used.
#[derive(Debug)]
pub(super) struct Loaded {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    stamp: Stamp,
}

/// SHA-256 of certificate and key file, unless they could not be read. Times of files do not say whether they changed: they
/// come from wherever a file was copied from, and links are swapped.
type Stamp = [Option<[u8; 32]>; 2];

impl Reloading {
    /// Reads the files. Client certificates must come from one of `authorities`, so that an agent may present its
    /// leaf alone.
    pub(super) fn load(files: &Tls, authorities: Vec<Vec<u8>>) -> Result<Self, ServeError> {
        let loaded = load(files, &authorities)?;
        let current = Current { files: files.clone(), stamp: loaded.stamp, loaded };
        Ok(Self { authorities, current: RwLock::new(current) })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).loaded.config.clone()
    }

    /// The chain that is sent, leaf first.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).loaded.chain.clone()
    }

    /// Reads these files, and puts nothing in force.
    pub(super) fn load_again(&self, files: &Tls) -> Result<Loaded, ServeError> {
        load(files, &self.authorities)
    }

    /// Puts what was read from these files in force; whether it is another pair.
    pub(super) fn put(&self, files: &Tls, loaded: Loaded) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = current.loaded.stamp != loaded.stamp;
        *current = Current { files: files.clone(), stamp: loaded.stamp, loaded };
        is_other
    }

    /// Reads the files again, and takes them if they changed; connections from now on see it. Files that cannot be used,
    /// or are not of one pair because one was not written yet, leave the old configuration in force.
    pub(super) fn look(&self) {
        let (files, seen) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.files.clone(), current.stamp)
        };
        let content = content(&files);
        let stamp = match &content {
            Ok(content) => content.each_ref().map(|octets| Some(Sha256::digest(octets).into())),
            Err(_) => [None; 2],
        };
        if seen == stamp {
            return;
        }
        let read = content.and_then(|content| configured(&files, &content, &self.authorities));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Other files meanwhile.
        if current.stamp != seen {
            return;
        }
        current.stamp = stamp;
        match read {
            Ok((config, chain)) => {
                current.loaded = Loaded { config, chain, stamp };
                tracing::info!("the TLS certificate was read again");
            }
            Err(error) => {
                tracing::warn!(%error, "the TLS files changed and cannot be used; the old ones stay");
            }
        }
    }
}

/// Reads the files as far as can be done before there is a deployment.
pub(super) fn check(files: &Tls) -> Result<(), ServeError> {
    configured(&Tls { client_certificates: false, ..files.clone() }, &content(files)?, &[]).map(drop)
}

fn load(files: &Tls, authorities: &[Vec<u8>]) -> Result<Loaded, ServeError> {
    let content = content(files)?;
    let (config, chain) = configured(files, &content, authorities)?;
    Ok(Loaded { config, chain, stamp: content.map(|octets| Some(Sha256::digest(octets).into())) })
}

/// What both files have in them now: what is looked at is what is used.
fn content(files: &Tls) -> Result<[Zeroizing<Vec<u8>>; 2], ServeError> {
    let read = |option, path: &Path| {
        std::fs::read(path).map(Zeroizing::new).map_err(|error| unusable(option, path, &error))
    };
    Ok([read(CERTIFICATE, &files.certificate)?, read(KEY, &files.key)?])
}

const CERTIFICATE: &str = "--tls-cert";
const KEY: &str = "--tls-key";

fn unusable(option: &str, path: &Path, why: &dyn std::fmt::Display) -> ServeError {
    ServeError::Tls(format!("{option} {}: {why}", path.display()))
}

/// What does not make a pair that TLS can use.
fn no_pair(files: &Tls, error: &rustls::Error) -> ServeError {
    let (certificate, key) = (&files.certificate, &files.key);
    match error {
        rustls::Error::InconsistentKeys(_) => {
            let (certificate, key) = (certificate.display(), key.display());
            ServeError::Tls(format!(
                "the key in {key} does not belong to the certificate in {certificate}; name two of one pair with --tls-cert and --tls-key"
            ))
        }
        rustls::Error::InvalidCertificate(_) => {
            unusable(CERTIFICATE, certificate, &"its first certificate cannot be read; have it issued again")
        }
        rustls::Error::General(_) => {
            unusable(KEY, key, &"TLS cannot use such a key; make one that is RSA, P-256, P-384 or Ed25519")
        }
        other => unusable(CERTIFICATE, certificate, &broken(other)),
    }
}

fn configured(
    files: &Tls,
    [certificate, key]: &[Zeroizing<Vec<u8>>; 2],
    authorities: &[Vec<u8>],
) -> Result<(Arc<ServerConfig>, Vec<CertificateDer<'static>>), ServeError> {
    let chain = pem_file::certificates(&files.certificate, certificate)
        .map_err(|why| unusable(CERTIFICATE, &files.certificate, &why))?;
    let key = pem_file::private_key(&files.key, key).map_err(|why| unusable(KEY, &files.key, &why))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = |error: rustls::Error| no_pair(files, &error);
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
    let mut config = builder.with_single_cert(chain.clone(), key).map_err(tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), chain))
}

impl Tls {
    /// TLS with these files, without client certificates.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_certificates: false }
    }
}
