//! `kakunin ca`: an offline root, and the issuing CAs of a deployment that is not being served.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::id::{Entropy, EntropyError, Serial, SystemEntropy, TenantId};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};
use kakunin_core::service::{Config, Error as ServiceError, Kakunin, OfflineRoot};
use kakunin_core::time::{Clock, DAY, SECOND, SystemClock, UnixTime};
use kakunin_core::x509::ca::{Binding, CaError, Issuer, SignCaError, sign_issuing, sign_root};
use kakunin_core::x509::crl::{self, BACKDATE, Coverage, CrlView, SignCrlError};
use kakunin_core::x509::csr::{CsrError, Proven};
use kakunin_core::x509::pem;
use kakunin_core::x509::published::{Published, PublishedError};
use kakunin_kms::local::{LocalKeys, Secret, SecretError};
use kakunin_kms::private::{self, NotPrivate};
use kakunin_kms::url::{KeyUrl, KeyUrlError};

use crate::pem_file;
use crate::replace;
use crate::serve::{ServeError, ServeOptions, wire};

/// The root's certificate, and which key it has.
const ROOT_FILE: &str = "root.pem";
const KEY_FILE: &str = "root.key-ref";
/// The last CRL of the root.
const CRL_FILE: &str = "root.crl";
/// The most that is read of a file.
const MAX_LEN: u64 = 1 << 20;

/// Where an offline root is.
#[derive(Debug)]
pub struct RootOptions {
    /// Folder of the root's certificate, and of its key if that is in software.
    pub folder: PathBuf,
    /// File with the key that encrypts the root's key in that folder; made by [`init`].
    pub key_file: Option<PathBuf>,
    /// Where the root's key is, if not in that folder.
    pub keys: Option<KeyUrl>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaCommandError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path} holds no {what}: {why}", path = path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What it holds, and what to do.
        why: String,
    },
    /// Others can write where the root lies.
    #[error(transparent)]
    NotPrivate(#[from] NotPrivate),
    /// There is a root already.
    #[error("{path} is there already: a root is made once", path = .0.display())]
    Exists(PathBuf),
    /// A root's key in software needs a file with what encrypts it.
    #[error(
        "name the file with the key that encrypts the root's key with --key-file, elsewhere than the root"
    )]
    NoKeyFile,
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The provider cannot be opened.
    #[error("--keys: {0}")]
    KeyUrl(#[from] KeyUrlError),
    /// The key cannot be used.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The public URL is none.
    #[error(transparent)]
    PublicUrl(#[from] PublishedError),
    /// The request is refused.
    #[error("{path}: {source}", path = path.display())]
    Csr {
        /// Which.
        path: PathBuf,
        /// Why.
        source: CsrError,
    },
    /// The certificate could not be made.
    #[error(transparent)]
    Ca(#[from] SignCaError),
    /// The CRL could not be made.
    #[error(transparent)]
    Crl(#[from] SignCrlError),
    /// The last CRL is from later.
    #[error(
        "the next CRL is to be of {0} at the earliest, a second after the last; set this machine's clock, or wait"
    )]
    ClockBehind(UnixTime),
    /// The root's certificate is not one.
    #[error(transparent)]
    Root(#[from] CaError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The deployment cannot be opened.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The deployment refuses.
    #[error(transparent)]
    Deployment(#[from] ServiceError),
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] io::Error),
}

/// Makes a root: RSA-3072, 15 years. Gives its certificate, PEM. It names its CRL under the URL where the
/// deployment below it publishes, if that is given.
///
/// # Errors
/// [`CaCommandError`]; if there is a root already, it stays.
pub async fn init(options: &RootOptions, public_url: Option<&str>) -> Result<String, CaCommandError> {
    let published = public_url.map(Published::for_new).transpose()?;
    let (certificate, key_ref) = (options.folder.join(ROOT_FILE), options.folder.join(KEY_FILE));
    if certificate.exists() || key_ref.exists() {
        return Err(CaCommandError::Exists(certificate));
    }
    let unusable = |source| CaCommandError::File { path: options.folder.clone(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.folder).map_err(unusable)?;
    private::folder(&options.folder)?;
    if let (None, Some(path)) = (&options.keys, &options.key_file)
        && !path.exists()
    {
        let mut octets = [0; 32];
        SystemEntropy.fill(&mut octets)?;
        write(path, &kakunin_core::id::hex_encode(&octets))?;
    }
    let keys = options.open().await?;
    let mut id = [0; 16];
    SystemEntropy.fill(&mut id)?;
    let reference = keys.generate(&PlannedKeyId::new(id), KeyAlgorithm::Rsa3072).await?;
    let signer = keys.open(&reference).await?;
    let serial = Serial::generate(&SystemEntropy)?;
    let root = sign_root(&*signer, &serial, published.as_ref(), SystemClock.now()).await?;
    write(&key_ref, reference.as_str())?;
    let text = pem::encode(pem::CERTIFICATE, root.as_der());
    write(&certificate, text.trim_end())?;
    Ok(text)
}

/// Signs a request for an issuing CA, bound to a tenant if that is named. Gives its certificate and the root's, PEM.
/// Where the request says that the deployment publishes, the certificate names the root's CRL and certificate.
///
/// # Errors
/// [`CaCommandError`].
pub async fn sign(
    options: &RootOptions,
    request: &Path,
    binding: Binding<'_>,
) -> Result<String, CaCommandError> {
    let refused = |source| CaCommandError::Csr { path: request.to_owned(), source };
    let request = Proven::read(&read(request)?).map_err(refused)?;
    let (root, signer) = options.root().await?;
    let serial = Serial::generate(&SystemEntropy)?;
    let (published, now) = (request.published.as_ref(), SystemClock.now());
    let issuing = sign_issuing(&root, &*signer, &request.key, &serial, binding, published, now).await?;
    Ok([&issuing, &root].map(|ca| pem::encode(pem::CERTIFICATE, ca.as_der())).concat())
}

/// Signs an empty CRL that is valid for `days`, and keeps it beside the root: number and thisUpdate of the next one
/// are above its own. Gives it, PEM.
///
/// # Errors
/// [`CaCommandError`].
pub async fn sign_crl(options: &RootOptions, days: u16) -> Result<String, CaCommandError> {
    let path = options.folder.join(CRL_FILE);
    let unusable = |source| CaCommandError::File { path: path.clone(), source };
    // One call at a time.
    let lock = std::fs::File::open(options.folder.join(ROOT_FILE)).map_err(unusable)?;
    lock.lock().map_err(unusable)?;
    let (root, signer) = options.root().await?;
    let now = SystemClock.now();
    let (mut number, mut this_update) = (now.secs(), now.minus(BACKDATE).whole_secs());
    if path.exists() {
        let last = only(&path, pem::CRL, "CRL")?;
        let last = CrlView::parse(&last).map_err(|error| CaCommandError::Pem {
            path: path.clone(),
            what: "CRL",
            why: error.to_string(),
        })?;
        number = number.max(last.number.saturating_add(1));
        this_update = this_update.max(last.this_update.plus(SECOND));
    }
    if this_update > now {
        return Err(CaCommandError::ClockBehind(this_update));
    }
    let window = (this_update, now.plus(DAY * u64::from(days)));
    let der = crl::sign(&root, &*signer, Coverage::Full, number, &[], window).await?;
    let text = pem::encode(pem::CRL, &der);
    replace::file(&path, text.as_bytes()).map_err(unusable)?;
    Ok(text)
}

/// Installs what [`sign_crl`] gave. Says whose it is.
///
/// # Errors
/// [`CaCommandError`].
pub async fn install_crl(options: &ServeOptions, file: &Path) -> Result<String, CaCommandError> {
    let der = only(file, pem::CRL, "CRL")?;
    let parts = wire::parts_of_deployment(options).await?;
    let config = wire::config(options, options.listen, &parts).await?;
    let root = Kakunin::open(config, parts).await?.install_root_crl(der).await?;
    Ok(format!("CRL of root {root}"))
}

/// The request for the next issuing CA of a deployment, or the first of one that is yet to be made: PEM; and whether it is
/// the first.
///
/// # Errors
/// [`CaCommandError`].
pub async fn request(options: &ServeOptions) -> Result<(String, bool), CaCommandError> {
    let parts = wire::parts(options).await?;
    let made = Kakunin::made_as(&parts).await?.is_some();
    let config = wire::config(options, options.listen, &parts).await?;
    let request = if made {
        Kakunin::open(config, parts).await?.request_issuing().await?
    } else {
        Kakunin::request_first_issuing(&config, &parts).await?
    };
    Ok((pem::encode(pem::CERTIFICATE_REQUEST, &request), !made))
}

/// Installs what a root signed for [`request`]: an issuing CA, then the root, PEM in one file. Makes the
/// deployment, if there is none. Says who issues now.
///
/// # Errors
/// [`CaCommandError`].
pub async fn install(
    options: &ServeOptions,
    chain: &Path,
    tenant: Option<&TenantId>,
) -> Result<String, CaCommandError> {
    let not_two = |why| CaCommandError::Pem { path: chain.to_owned(), what: "issuing CA and root", why };
    let octets = read(chain)?;
    let ders = pem::decode(pem::CERTIFICATE, &String::from_utf8_lossy(&octets))
        .map_err(|_| not_two(pem_file::instead(chain, &octets, pem::CERTIFICATE)))?;
    let [issuing, root]: [Vec<u8>; 2] = ders.try_into().map_err(|ders: Vec<_>| {
        let count = ders.len();
        not_two(format!(
            "it has {count} certificates, and `kakunin ca sign-issuing` prints 2; name what it printed"
        ))
    })?;
    let signed = OfflineRoot { root, issuing };
    let parts = wire::parts(options).await?;
    let made = Kakunin::made_as(&parts).await?.is_some();
    let config = wire::config(options, options.listen, &parts).await?;
    if made {
        let kakunin = Kakunin::open(config, parts).await?;
        let issuer = kakunin.install_issuing(tenant, &signed).await?;
        let mut said = installed(&issuer, tenant);
        if tenant.is_some() && issuer.tenant(&kakunin.place().arc)?.is_none() {
            said.push_str("; its certificate does not say so: verifiers elsewhere must be told (--tenant of sign-issuing)");
        }
        Ok(said)
    } else {
        let config = Config { offline: Some(signed), ..config };
        Ok(installed(&Kakunin::open(config, parts).await?.issuer(), None))
    }
}

fn installed(issuer: &Issuer, tenant: Option<&TenantId>) -> String {
    let whom = tenant.map_or_else(|| "every tenant without its own".to_owned(), ToString::to_string);
    format!("issuing CA {} until {}, for {whom}", issuer.id(), issuer.not_after())
}

/// Replaces the issuing CA by one under the deployment's own root. Says who issues now.
///
/// # Errors
/// [`CaCommandError`].
pub async fn rotate(options: &ServeOptions, tenant: Option<&TenantId>) -> Result<String, CaCommandError> {
    let parts = wire::parts_of_deployment(options).await?;
    let config = wire::config(options, options.listen, &parts).await?;
    let kakunin = Kakunin::open(config, parts).await?;
    let roots = kakunin.roots().len();
    let issuer = kakunin.rotate_issuing(tenant).await?;
    let said = installed(&issuer, tenant);
    Ok(match kakunin.roots().get(roots) {
        None => said,
        Some(root) => {
            let (id, until) = (root.id(), root.not_after());
            format!(
                "{said}; under the new root {id} until {until}: give its certificate to whoever verifies (GET /api/v1/ca/{id}.cer)"
            )
        }
    })
}

impl RootOptions {
    /// The root, and its key.
    async fn root(&self) -> Result<(Issuer, Arc<dyn Signer>), CaCommandError> {
        private::folder(&self.folder)?;
        for name in [ROOT_FILE, KEY_FILE] {
            private::file(&self.folder.join(name))?;
        }
        let root = Issuer::from_der(only(&self.folder.join(ROOT_FILE), pem::CERTIFICATE, "certificate")?)?;
        let reference = String::from_utf8_lossy(&read(&self.folder.join(KEY_FILE))?).trim().to_owned();
        Ok((root, self.open().await?.open(&KeyRef::new(reference)).await?))
    }

    async fn open(&self) -> Result<Arc<dyn KeyProvider>, CaCommandError> {
        if let Some(url) = &self.keys {
            return Ok(url.open().await?);
        }
        let secret = Secret::from_key_file(self.key_file.as_ref().ok_or(CaCommandError::NoKeyFile)?)?;
        Ok(Arc::new(LocalKeys::open(self.folder.join("keys"), &secret)?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CaCommandError> {
    use std::io::Read;
    let unusable = |source| CaCommandError::File { path: path.to_owned(), source };
    let mut octets = Vec::new();
    std::fs::File::open(path).map_err(unusable)?.take(MAX_LEN).read_to_end(&mut octets).map_err(unusable)?;
    Ok(octets)
}

fn only(path: &Path, label: &'static str, what: &'static str) -> Result<Vec<u8>, CaCommandError> {
    let octets = read(path)?;
    let ders = pem::decode(label, &String::from_utf8_lossy(&octets)).unwrap_or_default();
    let why = || pem_file::instead(path, &octets, label);
    ders.into_iter().next().ok_or_else(|| CaCommandError::Pem { path: path.to_owned(), what, why: why() })
}

fn write(path: &Path, text: &str) -> Result<(), CaCommandError> {
    let unusable = |source| CaCommandError::File { path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unusable)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(unusable)
}
