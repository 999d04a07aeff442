//! What may be configured, and what is refused unless a flag whose name says insecure allows it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kakunin_core::error::StoreError;
use kakunin_core::key::{KeyAlgorithm, SignError};
use kakunin_core::policy::Policy;
use kakunin_core::service::{Config, Error as ServiceError};
use kakunin_core::webhook::{Allow, ClientError};
use kakunin_core::x509::published::Published;

use kakunin_kms::url::{KeyUrl, KeyUrlError, Scheme};

use super::place::Database;
use crate::http::ApiOptions;
use crate::models::Model;

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Folder of the deployment; of one that is in a database nothing is in it.
    pub data: PathBuf,
    /// Database of the deployment, in place of a folder.
    pub database: Option<Database>,
    /// Address to listen at.
    pub listen: SocketAddr,
    /// URL under which relying parties reach this server: CRLs and CA certificates are named by it.
    pub public_url: Option<String>,
    /// Trust domain of the SPIFFE IDs.
    pub trust_domain: Option<String>,
    /// Where the keys of certificate authorities and agents are; software keys in the folder if not given.
    pub keys: Option<KeyUrl>,
    /// Algorithm of the issuing CA, used when the deployment is made: RSA or P-256. Its root has the same, or
    /// RSA-3072 above RSA-2048.
    pub ca_algorithm: KeyAlgorithm,
    /// The risk model of tenants that are made from now on; others have the one that they were made with, or that their policy
    /// names.
    pub default_model: Model,
    /// A risk model that judges the same events beside the one that decides, and only reports.
    pub shadow_model: Option<Model>,
    /// File with the key that encrypts the software keys, if not `key.secret` in the folder.
    pub key_file: Option<PathBuf>,
    /// File that keeps the newest checkpoints, if not `kakunin.guard` in the folder: on another volume, who puts an older
    /// folder back is found out by it.
    pub guard: Option<PathBuf>,
    /// TLS.
    pub tls: Option<Tls>,
    /// How the API behaves.
    pub api: ApiOptions,
    /// How long whoever connects may keep the server waiting.
    pub patience: Patience,
    /// Connections from one address (IPv6: /64) at once. Trusted proxies and gateways have no such limit.
    pub connections_per_address: usize,
    /// How long a renewed certificate stands beside the one that replaces it, unless that is used before.
    pub renewal_grace: Duration,
    /// What decides over scores where a tenant has said nothing.
    pub default_policy: Policy,
    /// Where webhooks may go, and whom TLS trusts there.
    pub webhooks: WebhookOptions,
    /// Whether the log believes a clock that is far ahead of the last record, once.
    pub believe_clock: bool,
    /// Further files that nobody else should read.
    pub secrets: Vec<PathBuf>,
    /// Serve others than this machine over plain HTTP.
    pub insecure_plain_http: bool,
    /// Serve others than this machine with CA keys in software.
    pub insecure_software_keys: bool,
}

/// Connections from one address, unless configured otherwise.
pub const DEFAULT_CONNECTIONS_PER_ADDRESS: usize = 500;

/// How long whoever connects may keep the server waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first octet on, or from when it was accepted, until a connection has shaken hands and sent the head of
    /// a request.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For a body to come, or to be taken, beyond what 64 KiB a second would take.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { head: seconds(10), idle: seconds(75), stall: seconds(20) }
    }
}

/// Where webhooks may go, and whom TLS trusts there.
#[derive(Clone, Debug, Default)]
pub struct WebhookOptions {
    /// Places that are sent to although their addresses are not public.
    pub allow: Vec<Allow>,
    /// File with the certificates that TLS trusts, PEM; those of the system if not given.
    pub trust: Option<PathBuf>,
    /// Whether something is sent in the clear.
    pub insecure_http: bool,
}

/// TLS files; they are read again when they change.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Whether clients are asked for a certificate of this deployment; those without one are served too.
    pub client_certificates: bool,
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Software CA keys, reachable from elsewhere.
    #[error(
        "{0} can be reached from elsewhere, and the CA keys are in software: listen on loopback, give --keys with a KMS or an HSM, or say --insecure-software-keys"
    )]
    SoftwareKeys(SocketAddr),
    /// Plain HTTP, reachable from elsewhere.
    #[error(
        "{0} can be reached from elsewhere, and API keys would travel in clear: give --tls-cert and --tls-key, or say --insecure-plain-http"
    )]
    PlainHttp(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen at {address}: {source}; is another server running there?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder of the deployment cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What lies here belongs to a deployment whose database is not there.
    #[error(
        "{path} has keys of a deployment and not its database: put kakunin.db back from a backup, or take another folder for a new deployment", path = .0.display()
    )]
    DatabaseGone(PathBuf),
    /// Certificates would name an address that nobody can reach.
    #[error(
        "{0} is no address that relying parties can reach, and it would be named in every certificate: give --public-url"
    )]
    NoPublicUrl(SocketAddr),
    /// The public URL is none.
    #[error("--public-url: {0}")]
    PublicUrl(#[from] kakunin_core::x509::published::PublishedError),
    /// There is no deployment in this folder.
    #[error("{path} holds no deployment: `kakunin serve` makes one, with its first admin key", path = .0.display())]
    NoDeployment(PathBuf),
    /// There is no deployment in this database.
    #[error("database {0} holds no deployment: `kakunin serve` makes one, with its first admin key")]
    NoDeploymentIn(String),
    /// The database cannot be used.
    #[error("database {place}: {source}")]
    Database {
        /// Host and database.
        place: String,
        /// Why.
        source: StoreError,
    },
    /// The seal cannot be used.
    #[error("--seal: {0}")]
    Seal(#[from] kakunin_kms::seal::SealUrlError),
    /// Nobody says where the keys are that all servers share.
    #[error(
        "with a database say where the keys of CAs and agents are, which all servers share: --keys with a KMS or an HSM"
    )]
    NoSharedKeys,
    /// Software keys, which each server would need a copy of.
    #[error(
        "with a database all servers share the keys of CAs and agents, and software keys lie in a folder: give --keys with a KMS or an HSM, or say --insecure-software-keys and name a folder that all of them see"
    )]
    SharedSoftwareKeys,
    /// No folder of software keys that others could see.
    #[error(
        "with a database software keys need a folder and the file that decrypts them, and all servers see both: write --keys local:FOLDER?key-file=FILE; make FILE with `openssl rand -hex 32`, of mode 0600"
    )]
    NoSharedFolder,
    /// A move was cut off.
    #[error(
        "a move into database {0} was begun and is not done: run `kakunin migrate --from` again, which goes on with it"
    )]
    HalfMoved(String),
    /// The deployment was moved away.
    #[error("the deployment of {path} was moved into a database, and is served there: see {file} in it", path = .0.display(), file = super::wire::MOVED_FILE)]
    Moved(PathBuf),
    /// Servers are running.
    #[error("a server of this deployment is running: stop all of them first")]
    ServersRun,
    /// A command that copies or mends files.
    #[error("{0}")]
    NeedsFolder(&'static str),
    /// Others can write where the deployment lies.
    #[error(transparent)]
    NotPrivate(#[from] kakunin_kms::private::NotPrivate),
    /// The key file is missing, although there are keys.
    #[error("{path} is missing, and the keys in this folder are encrypted with it: put it back, or name it with --key-file", path = .0.display())]
    KeyFileMissing(PathBuf),
    /// What webhooks trust cannot be used.
    #[error("--webhook-trust: {path}: {why}", path = path.display())]
    WebhookTrust {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        why: String,
    },
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] ClientError),
    /// The key file cannot be used.
    #[error(transparent)]
    Secret(#[from] kakunin_kms::local::SecretError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] SignError),
    /// The provider of the keys cannot be opened.
    #[error("--keys: {0}")]
    KeyUrl(#[from] KeyUrlError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The deployment cannot be opened.
    #[error(transparent)]
    Deployment(#[from] ServiceError),
    /// The deployment's certificates make no verifier.
    #[error(transparent)]
    Verifier(#[from] kakunin_verify::SetupError),
    /// The names under which agents reach the server cannot be used.
    #[error("--authority: {0}")]
    Authority(#[from] kakunin_verify::possession::AuthorityError),
    /// The TLS files cannot be used.
    #[error("cannot use the TLS files: {0}")]
    Tls(String),
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] std::io::Error),
}

impl ServeOptions {
    /// A server on this machine, for this machine.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data: data.into(),
            database: None,
            listen,
            public_url: None,
            trust_domain: None,
            keys: None,
            ca_algorithm: KeyAlgorithm::Rsa2048,
            default_model: Model::default(),
            shadow_model: None,
            key_file: None,
            guard: None,
            tls: None,
            api: ApiOptions::default(),
            patience: Patience::default(),
            connections_per_address: DEFAULT_CONNECTIONS_PER_ADDRESS,
            renewal_grace: Duration::from_millis(Config::RENEWAL_GRACE),
            default_policy: Policy::default(),
            webhooks: WebhookOptions::default(),
            believe_clock: false,
            secrets: Vec::new(),
            insecure_plain_http: false,
            insecure_software_keys: false,
        }
    }

    /// Takes from options in force what cannot change while they are.
    pub(super) fn keep_what_is_fixed(&mut self, old: &Self) {
        self.data.clone_from(&old.data);
        self.database.clone_from(&old.database);
        self.listen = old.listen;
        self.public_url.clone_from(&old.public_url);
        self.trust_domain.clone_from(&old.trust_domain);
        self.keys.clone_from(&old.keys);
        self.ca_algorithm = old.ca_algorithm;
        self.default_model.clone_from(&old.default_model);
        self.shadow_model.clone_from(&old.shadow_model);
        self.key_file.clone_from(&old.key_file);
        self.guard.clone_from(&old.guard);
        if self.tls.is_some() != old.tls.is_some() {
            self.tls.clone_from(&old.tls);
        }
        self.renewal_grace = old.renewal_grace;
        self.default_policy.clone_from(&old.default_policy);
        self.webhooks.clone_from(&old.webhooks);
        self.api.feed_subscribers = old.api.feed_subscribers;
        self.api.feed_subscribers_per_address = old.api.feed_subscribers_per_address;
        self.insecure_plain_http = old.insecure_plain_http;
        self.insecure_software_keys = old.insecure_software_keys;
    }

    /// Whether the keys of certificate authorities and agents are in software.
    pub(super) fn software_keys(&self) -> bool {
        self.keys.as_ref().is_none_or(|url| url.scheme() == Scheme::Local)
    }

    /// Where keys are that all servers over a database can share.
    pub(super) fn shared_keys(&self) -> Result<&KeyUrl, ServeError> {
        let url = self.keys.as_ref().ok_or(ServeError::NoSharedKeys)?;
        if url.scheme() == Scheme::Local {
            if !self.insecure_software_keys {
                return Err(ServeError::SharedSoftwareKeys);
            }
            self.shared_folder(url)?;
        }
        Ok(url)
    }

    /// Their folder, and the file with what they are encrypted with.
    pub(super) fn shared_folder<'o>(&'o self, url: &'o KeyUrl) -> Result<(&'o Path, &'o Path), ServeError> {
        let file = url.key_file().or(self.key_file.as_deref());
        url.folder().zip(file).ok_or(ServeError::NoSharedFolder)
    }

    /// Refuses what is insecure and was not asked for by name.
    pub(super) fn check(&self) -> Result<(), ServeError> {
        if let Some(url) = &self.public_url {
            Published::parse(url)?;
        }
        if self.database.is_some() {
            self.shared_keys()?;
        }
        if self.listen.ip().is_loopback() {
            return Ok(());
        }
        if self.software_keys() && !self.insecure_software_keys {
            return Err(ServeError::SoftwareKeys(self.listen));
        }
        if self.tls.is_none() && !self.insecure_plain_http {
            return Err(ServeError::PlainHttp(self.listen));
        }
        Ok(())
    }

    /// Who is believed about what, for the log.
    pub(super) fn believed(&self, public_url: &str) -> String {
        fn list<T: ToString>(all: &[T]) -> String {
            let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
            if texts.is_empty() { "nobody".to_owned() } else { texts.join(", ") }
        }
        let mut names = vec![public_url.to_owned()];
        names.extend(self.api.authorities.iter().map(ToString::to_string));
        format!(
            "believed about addresses: {}; about certificates: {}; signed requests are for: {}",
            list(&self.api.trusted_proxies),
            list(&self.api.gateways),
            names.join(", ")
        )
    }

    /// Names of the opt-outs in force, for the log.
    pub(super) fn opt_outs(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.insecure_plain_http, "insecure-plain-http"),
            (self.insecure_software_keys, "insecure-software-keys"),
            (self.api.insecure_serial_only, "insecure-serial-only"),
            (self.webhooks.insecure_http, "insecure-webhook-http"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
    }

    /// Warns of what is let through whatever is decided.
    pub(super) fn warn_of_dry_runs(&self) {
        let dry_run = &self.api.insecure_dry_run;
        for tenant in dry_run.tenants() {
            tracing::warn!(
                %tenant,
                "--insecure-dry-run-tenant is in force: its agents are let through whatever is decided, and what would be refused counts in their scores"
            );
        }
        for route in dry_run.routes() {
            tracing::warn!(
                %route,
                "--insecure-dry-run-route is in force: everybody is let through to it whatever is decided, and what would be refused counts in scores of agents"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_who_is_believed_about_what() {
        let mut options = ServeOptions::new("data", SocketAddr::from(([127, 0, 0, 1], 0)));
        assert_eq!(
            options.believed("https://ca.example"),
            "believed about addresses: nobody; about certificates: nobody; signed requests are for: https://ca.example"
        );
        options.api.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        options.api.gateways = vec!["10.0.0.5=nginx".parse().unwrap()];
        options.api.authorities = vec!["CA:8443".parse().unwrap()];
        assert_eq!(
            options.believed("https://ca.example"),
            "believed about addresses: 10.0.0.0/8, ::1; about certificates: 10.0.0.5 in `x-client-cert` (escaped PEM); \
             signed requests are for: https://ca.example, ca:8443"
        );
    }
}
