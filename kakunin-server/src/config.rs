//! How `kakunin serve` is configured: a TOML file, overridden by the environment, overridden by flags.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use kakunin_core::id::TenantId;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::policy::Policy;
use kakunin_core::service::Config;
use kakunin_core::shape;
use kakunin_core::webhook::Allow;
use kakunin_server::http::{
    ApiOptions, DEFAULT_ANONYMOUS_RATE, DEFAULT_FEED_PER_ADDRESS, DEFAULT_FEED_SUBSCRIBERS, DEFAULT_KEY_RATE,
    GatewayProxy, Network, policy_from_json,
};
use kakunin_server::logging::Level;
use kakunin_server::models::Model;
use kakunin_server::serve::{
    DEFAULT_CONNECTIONS_PER_ADDRESS, Listen, Patience, ServeOptions, Tls, WebhookOptions,
};
use kakunin_verify::dry_run::{DryRun, RoutePattern};
use kakunin_verify::possession::Authority;
use serde::{Deserialize, Deserializer};

pub(crate) use crate::config_error::ConfigError;
use crate::database_arguments::{Place, database_of};
use crate::numbers::{at_least_one, number, seconds};

pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Every member is a flag, a variable `KAKUNIN_...`, and a key of the file.
#[derive(Args, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Serve {
    /// TOML file with any of the flags below, such as `listen = "127.0.0.1:8080"`; variables and flags win.
    #[arg(long, env = "KAKUNIN_CONFIG")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Folder of the deployment; made on the first start.
    #[arg(long, env = "KAKUNIN_DATA")]
    data: Option<PathBuf>,
    /// Database of the deployment, in place of a folder; any number of servers share it:
    /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`. With a password, name a file that holds it instead.
    #[arg(long, env = "KAKUNIN_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// File that holds that URL, so that no list of processes shows a password.
    #[arg(long, env = "KAKUNIN_DATABASE_FILE", value_name = "FILE")]
    database_file: Option<PathBuf>,
    /// What the keys of the log lie sealed under in a database: `file:PATH`, `awskms:region=R;key-id=KEY`,
    /// `pkcs11:token=T;object=LABEL?module-path=M&pin-source=FILE`.
    #[arg(long, env = "KAKUNIN_SEAL", hide_env_values = true, value_name = "URL")]
    seal: Option<String>,
    /// With a database: file that the first admin key is written to, which is not there yet [default: it is printed].
    #[arg(long, env = "KAKUNIN_ADMIN_KEY_FILE", value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// Address to listen at, or a name of this machine: `localhost:8080` is its IPv4 address [default: 127.0.0.1:8080].
    #[arg(long, env = "KAKUNIN_LISTEN")]
    #[serde(deserialize_with = "one")]
    listen: Option<Listen>,
    /// URL under which relying parties reach this server; fixed on the first start.
    #[arg(long, env = "KAKUNIN_PUBLIC_URL")]
    public_url: Option<String>,
    /// Trust domain of the SPIFFE IDs; fixed on the first start.
    #[arg(long, env = "KAKUNIN_TRUST_DOMAIN")]
    trust_domain: Option<String>,
    /// Where the keys of certificate authorities and agents are: `local:FOLDER`,
    /// `awskms:region=R;deployment=NAME`, `pkcs11:token=T?module-path=M&pin-source=FILE`
    /// [default: software keys in the folder].
    #[arg(long, env = "KAKUNIN_KEYS")]
    keys: Option<String>,
    /// Algorithm of the issuing CA, fixed on the first start: `rsa-2048`, `rsa-3072`, `rsa-4096` or `p256`
    /// [default: rsa-2048].
    #[arg(long, env = "KAKUNIN_CA_ALGORITHM", value_parser = ca_algorithm)]
    ca_algorithm: Option<KeyAlgorithm>,
    /// Risk model of tenants that are made from now on: `weighted/2` or `weighted/1`. Others stay with the one that they were
    /// made with, until their policy names another [default: weighted/2].
    #[arg(long, env = "KAKUNIN_DEFAULT_MODEL", value_name = "NAME")]
    default_model: Option<String>,
    /// Risk model that judges beside the one that decides, and only reports: `weighted/1` or `weighted/2` [default: none].
    #[arg(long, env = "KAKUNIN_SHADOW_MODEL", value_name = "NAME")]
    shadow_model: Option<String>,
    /// File with the key that encrypts the software keys; `key.secret` in the folder if not given.
    #[arg(long, env = "KAKUNIN_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// File that keeps the newest signed checkpoints, and refuses an older database; `kakunin.guard` in the folder if not
    /// given. Best on another volume.
    #[arg(long, env = "KAKUNIN_GUARD")]
    guard: Option<PathBuf>,
    /// TLS certificate chain, PEM; read again when it changes.
    #[arg(long, env = "KAKUNIN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// TLS private key, PEM.
    #[arg(long, env = "KAKUNIN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Ask clients for the certificate of an agent (mutual TLS); those without one are served too.
    #[arg(long, env = "KAKUNIN_CLIENT_CERTIFICATES")]
    client_certificates: bool,
    /// Address or network of a proxy whose word about the addresses of clients is taken (`X-Forwarded-For`);
    /// certificates come from `--gateway` alone.
    #[arg(long, env = "KAKUNIN_TRUSTED_PROXY", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    trusted_proxy: Vec<Network>,
    /// Gateway that asks before it passes requests on, and how it hands over certificates: `ADDRESS=nginx`, or
    /// caddy, envoy, haproxy, rfc9440, traefik; `:FIELD` after it names another field than is usual.
    #[arg(long, env = "KAKUNIN_GATEWAY", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    gateway: Vec<GatewayProxy>,
    /// Name under which agents reach this server, `HOST`, `HOST:PORT` or a URL, beside the public URL's: requests that are
    /// signed for another are refused.
    #[arg(long, env = "KAKUNIN_AUTHORITY", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    authority: Vec<Authority>,
    /// Requests a second that one API key may make [default: 2000].
    #[arg(long, env = "KAKUNIN_KEY_RATE", value_parser = at_least_one::<NonZeroU32>)]
    key_rate: Option<NonZeroU32>,
    /// Requests a second that one address may make without an account [default: 2000]; what costs more has a limit of
    /// its own, a part of it.
    #[arg(long, env = "KAKUNIN_ANONYMOUS_RATE", value_parser = at_least_one::<NonZeroU32>)]
    anonymous_rate: Option<NonZeroU32>,
    /// Connections that one address may have at once, proxies and gateways apart [default: 500].
    #[arg(long, env = "KAKUNIN_CONNECTIONS_PER_ADDRESS", value_parser = at_least_one::<NonZeroUsize>)]
    connections_per_address: Option<NonZeroUsize>,
    /// Seconds that a connection may be kept without a request [default: 75].
    #[arg(long, env = "KAKUNIN_KEEP_ALIVE", value_parser = at_least_one::<NonZeroU32>)]
    keep_alive: Option<NonZeroU32>,
    /// Seconds that a renewed certificate stands beside the one that replaces it, unless that is used before [default: 300].
    #[arg(long, env = "KAKUNIN_RENEWAL_GRACE", value_parser = seconds::<u32>)]
    renewal_grace: Option<u32>,
    /// File with what decides over scores where a tenant has said nothing, as `kakunin policy show` prints `policy`.
    #[arg(long, env = "KAKUNIN_DEFAULT_POLICY")]
    default_policy: Option<PathBuf>,
    /// Subscribers of the revocation feed at once [default: 1000].
    #[arg(long, env = "KAKUNIN_FEED_SUBSCRIBERS", value_parser = number::<usize>)]
    feed_subscribers: Option<usize>,
    /// Of these, how many from one address that shows no API key [default: 100].
    #[arg(long, env = "KAKUNIN_FEED_SUBSCRIBERS_PER_ADDRESS", value_parser = number::<usize>)]
    feed_subscribers_per_address: Option<usize>,
    /// Network, address or name that webhooks may be sent to although it is not public, such as `10.1.0.0/16` or
    /// `hooks.internal`.
    #[arg(long, env = "KAKUNIN_WEBHOOK_ALLOW", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    webhook_allow: Vec<Allow>,
    /// File with the certificates that TLS trusts where webhooks go, PEM [default: those of the system].
    #[arg(long, env = "KAKUNIN_WEBHOOK_TRUST")]
    webhook_trust: Option<PathBuf>,
    /// Log what is at least this important: error, warn, info or debug, which is each request [default: info].
    #[arg(long, env = "KAKUNIN_LOG_LEVEL")]
    log_level: Option<String>,
    /// Log in JSON.
    #[arg(long, env = "KAKUNIN_LOG_JSON")]
    log_json: bool,
    /// Believe the clock although it is more than 400 days ahead of the last record: say so for one start, and after a look
    /// at the clock.
    #[arg(long, env = "KAKUNIN_BELIEVE_CLOCK")]
    believe_clock: bool,
    /// Let the gateway check take a bare serial number, which anybody can name, for an identity.
    #[arg(long, env = "KAKUNIN_INSECURE_SERIAL_ONLY")]
    insecure_serial_only: bool,
    /// Send webhooks over plain HTTP where a tenant says so: whoever is on the way reads them, and can keep them back.
    #[arg(long, env = "KAKUNIN_INSECURE_WEBHOOK_HTTP")]
    insecure_webhook_http: bool,
    /// Tenant whose agents the gateway check lets through whatever it decides of them, which it records and tells all the
    /// same: to see first.
    #[arg(long, env = "KAKUNIN_INSECURE_DRY_RUN_TENANT", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    insecure_dry_run_tenant: Vec<TenantId>,
    /// Route that the gateway check lets everybody through to, the same way: `GET /reports`, or `/reports/*` for every
    /// method and all that is below.
    #[arg(long, env = "KAKUNIN_INSECURE_DRY_RUN_ROUTE", value_delimiter = ',')]
    #[serde(deserialize_with = "parsed")]
    insecure_dry_run_route: Vec<RoutePattern>,
    /// Serve others than this machine over plain HTTP.
    #[arg(long, env = "KAKUNIN_INSECURE_PLAIN_HTTP")]
    insecure_plain_http: bool,
    /// Serve others than this machine with CA keys in software.
    #[arg(long, env = "KAKUNIN_INSECURE_SOFTWARE_KEYS")]
    insecure_software_keys: bool,
}

/// What is logged, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logging {
    pub(crate) level: Level,
    pub(crate) json: bool,
}

fn parsed<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    let wrong = |text: &str, error| serde::de::Error::custom(format_args!("`{text}`: {error}"));
    texts.iter().map(|text| text.parse().map_err(|error| wrong(text, error))).collect()
}

fn one<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(d)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Whether the arguments, or the variable, ask for a log in JSON, where clap does not understand them.
pub(crate) fn asks_for_json() -> bool {
    let falsey = ["", "0", "n", "no", "f", "false", "off"];
    let variable = std::env::var("KAKUNIN_LOG_JSON").unwrap_or_default().to_lowercase();
    std::env::args_os().any(|argument| argument == "--log-json") || !falsey.contains(&&*variable)
}

impl Serve {
    /// Whether a log in JSON is asked for, also by a file that is refused.
    pub(crate) fn wants_json(&self) -> bool {
        let says_so = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            line.split_whitespace().collect::<String>() == "log-json=true"
        };
        let file = || self.config.as_deref().and_then(|path| std::fs::read_to_string(path).ok());
        self.log_json || file().is_some_and(|text| text.lines().any(says_so))
    }

    /// The options, and how to log.
    pub(crate) fn options(self) -> Result<(ServeOptions, Logging), ConfigError> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        // With a PIN in it, it is a secret itself.
        let pins = [&file.keys, &file.seal].into_iter().flatten().any(|url| url.contains("pin-value"));
        let secrets = self.config.clone().filter(|_| pins || file.database.is_some());
        let mut all = self.over(file);
        if let Some(gateway) = GatewayProxy::ambiguous(&all.gateway) {
            return Err(ConfigError::Gateways(gateway.to_string()));
        }
        let database_file = all.database_file.clone();
        let database = database_of(Place {
            data: all.data.as_deref(),
            url: all.database.take(),
            file: all.database_file.take(),
            seal: all.seal.take(),
            admin_key_file: all.admin_key_file.take(),
        })?;
        let data = match &database {
            Some(_) => PathBuf::new(),
            None => all.data.take().ok_or(ConfigError::NoData)?,
        };
        let tls = tls_of(all.tls_cert, all.tls_key, all.client_certificates)?;
        let options = ServeOptions {
            public_url: all.public_url,
            trust_domain: all.trust_domain,
            keys: all.keys.as_deref().map(str::parse).transpose()?,
            ca_algorithm: match all.ca_algorithm {
                Some(KeyAlgorithm::Ed25519) => return Err(ConfigError::CaAlgorithm),
                chosen => chosen.unwrap_or(KeyAlgorithm::Rsa2048),
            },
            default_model: model("--default-model", all.default_model.as_deref())?.unwrap_or_default(),
            shadow_model: model("--shadow-model", all.shadow_model.as_deref())?,
            key_file: all.key_file,
            believe_clock: all.believe_clock,
            guard: all.guard,
            tls,
            api: ApiOptions {
                trusted_proxies: all.trusted_proxy,
                gateways: all.gateway,
                authorities: all.authority,
                new_deployment: false,
                insecure_serial_only: all.insecure_serial_only,
                insecure_dry_run: dry_run_of(all.insecure_dry_run_tenant, all.insecure_dry_run_route),
                key_rate: all.key_rate.unwrap_or(DEFAULT_KEY_RATE),
                anonymous_rate: all.anonymous_rate.unwrap_or(DEFAULT_ANONYMOUS_RATE),
                feed_subscribers: all.feed_subscribers.unwrap_or(DEFAULT_FEED_SUBSCRIBERS),
                feed_subscribers_per_address: all
                    .feed_subscribers_per_address
                    .unwrap_or(DEFAULT_FEED_PER_ADDRESS),
            },
            patience: all.keep_alive.map_or_else(Patience::default, |seconds| Patience {
                idle: Duration::from_secs(seconds.get().into()),
                ..Patience::default()
            }),
            connections_per_address: all
                .connections_per_address
                .map_or(DEFAULT_CONNECTIONS_PER_ADDRESS, NonZeroUsize::get),
            renewal_grace: all
                .renewal_grace
                .map_or(Duration::from_millis(Config::RENEWAL_GRACE), |s| Duration::from_secs(s.into())),
            default_policy: all.default_policy.as_deref().map_or_else(|| Ok(Policy::default()), policy_in)?,
            webhooks: WebhookOptions {
                allow: all.webhook_allow,
                trust: all.webhook_trust,
                insecure_http: all.insecure_webhook_http,
            },
            secrets: secrets.into_iter().chain(database_file).collect(),
            database,
            insecure_plain_http: all.insecure_plain_http,
            insecure_software_keys: all.insecure_software_keys,
            ..ServeOptions::new(data, all.listen.map_or(DEFAULT_LISTEN, |listen| listen.0))
        };
        let level = level_of(all.log_level.as_deref())?;
        Ok((options, Logging { level, json: all.log_json }))
    }

    // What was said here, else what the file says. A flag that is not there cannot take one of the file back.
    fn over(self, file: Self) -> Self {
        Self {
            config: self.config,
            data: self.data.or(file.data),
            database: self.database.or(file.database),
            database_file: self.database_file.or(file.database_file),
            seal: self.seal.or(file.seal),
            admin_key_file: self.admin_key_file.or(file.admin_key_file),
            listen: self.listen.or(file.listen),
            public_url: self.public_url.or(file.public_url),
            trust_domain: self.trust_domain.or(file.trust_domain),
            keys: self.keys.or(file.keys),
            ca_algorithm: self.ca_algorithm.or(file.ca_algorithm),
            default_model: self.default_model.or(file.default_model),
            shadow_model: self.shadow_model.or(file.shadow_model),
            key_file: self.key_file.or(file.key_file),
            guard: self.guard.or(file.guard),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            client_certificates: self.client_certificates || file.client_certificates,
            trusted_proxy: first(self.trusted_proxy, file.trusted_proxy),
            gateway: first(self.gateway, file.gateway),
            authority: first(self.authority, file.authority),
            key_rate: self.key_rate.or(file.key_rate),
            anonymous_rate: self.anonymous_rate.or(file.anonymous_rate),
            connections_per_address: self.connections_per_address.or(file.connections_per_address),
            keep_alive: self.keep_alive.or(file.keep_alive),
            renewal_grace: self.renewal_grace.or(file.renewal_grace),
            default_policy: self.default_policy.or(file.default_policy),
            feed_subscribers: self.feed_subscribers.or(file.feed_subscribers),
            feed_subscribers_per_address: self
                .feed_subscribers_per_address
                .or(file.feed_subscribers_per_address),
            webhook_allow: first(self.webhook_allow, file.webhook_allow),
            webhook_trust: self.webhook_trust.or(file.webhook_trust),
            log_level: self.log_level.or(file.log_level),
            log_json: self.log_json || file.log_json,
            believe_clock: self.believe_clock || file.believe_clock,
            insecure_serial_only: self.insecure_serial_only || file.insecure_serial_only,
            insecure_webhook_http: self.insecure_webhook_http || file.insecure_webhook_http,
            insecure_dry_run_tenant: first(self.insecure_dry_run_tenant, file.insecure_dry_run_tenant),
            insecure_dry_run_route: first(self.insecure_dry_run_route, file.insecure_dry_run_route),
            insecure_plain_http: self.insecure_plain_http || file.insecure_plain_http,
            insecure_software_keys: self.insecure_software_keys || file.insecure_software_keys,
        }
    }
}

/// What was said, or else what comes after it.
fn first<T>(said: Vec<T>, otherwise: Vec<T>) -> Vec<T> {
    if said.is_empty() { otherwise } else { said }
}

fn dry_run_of(tenants: Vec<TenantId>, routes: Vec<RoutePattern>) -> DryRun {
    let of_tenants = tenants.into_iter().fold(DryRun::new(), DryRun::tenant);
    routes.into_iter().fold(of_tenants, DryRun::route)
}

fn tls_of(cert: Option<PathBuf>, key: Option<PathBuf>, clients: bool) -> Result<Option<Tls>, ConfigError> {
    match (cert, key) {
        (Some(certificate), Some(key)) => {
            Ok(Some(Tls { client_certificates: clients, ..Tls::new(certificate, key) }))
        }
        (None, None) if clients => Err(ConfigError::NoTls),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfTls("--tls-key")),
        (None, Some(_)) => Err(ConfigError::HalfTls("--tls-cert")),
    }
}

fn level_of(text: Option<&str>) -> Result<Level, ConfigError> {
    match text {
        Some("error") => Ok(Level::Error),
        Some("warn") => Ok(Level::Warn),
        Some("info") | None => Ok(Level::Info),
        Some("debug") => Ok(Level::Debug),
        Some(other) => Err(ConfigError::LogLevel(other.to_owned())),
    }
}

fn ca_algorithm(text: &str) -> Result<KeyAlgorithm, ConfigError> {
    text.parse().map_err(|_| ConfigError::CaAlgorithm)
}

fn model(option: &'static str, name: Option<&str>) -> Result<Option<Model>, ConfigError> {
    name.map(str::parse).transpose().map_err(|error| ConfigError::Model(option, error))
}

fn policy_in(path: &Path) -> Result<Policy, ConfigError> {
    let refused = |why| ConfigError::Policy { path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let policy = policy_from_json(&text).map_err(refused)?;
    // Scores are made anew from the log, which does not say what this file said.
    match policy.model {
        Some(_) => Err(refused("it names a model; say that with --default-model".into())),
        None => Ok(policy),
    }
}

fn read(path: &Path) -> Result<Serve, ConfigError> {
    // It says which module is loaded and whose word is taken.
    kakunin_kms::private::given(path)?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let read = toml::Deserializer::parse(&text).map_err(|error| (String::new(), error));
    read.and_then(shape::located).map_err(|(member, error)| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.bytes().filter(|octet| *octet == b'\n').count();
        let why = match member.as_str() {
            "" => error.message().to_owned(),
            member => shape::sentence(member, error.message()).1,
        };
        ConfigError::File { path: path.to_owned(), line, why }
    })
}
