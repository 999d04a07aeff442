//! The arguments of the command, and the environment beside them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kakunin_core::key::KeyAlgorithm;
use kakunin_server::demo;
use kakunin_server::http::{ApiOptions, DEFAULT_KEY_RATE, Network};
use kakunin_server::replay::{self, ScopeColumn};
use kakunin_server::serve::{ServeOptions, Tls};

/// Machine identity for AI agents, taken away by itself when they misbehave.
#[derive(Parser)]
#[command(name = "kakunin", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serves a deployment over HTTP: SQLite and software keys in one folder.
    Serve(Serve),
    /// Plays the whole story over the public API: twenty agents, one led astray.
    Demo(Demo),
    /// Feeds recorded agent traces through issuance, scope check, scoring and revocation.
    Replay(Replay),
    /// Prints the OpenAPI document.
    Openapi,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Folder of the deployment; made on the first start.
    #[arg(long, env = "KAKUNIN_DATA")]
    data: PathBuf,
    /// Address to listen at.
    #[arg(long, env = "KAKUNIN_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// URL under which relying parties reach this server; fixed on the first start.
    #[arg(long, env = "KAKUNIN_PUBLIC_URL")]
    public_url: Option<String>,
    /// Trust domain of the SPIFFE IDs; fixed on the first start.
    #[arg(long, env = "KAKUNIN_TRUST_DOMAIN")]
    trust_domain: Option<String>,
    /// File with the key that encrypts the software keys; `key.secret` in the folder if not given.
    #[arg(long, env = "KAKUNIN_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// TLS certificate chain, PEM; read again when it changes.
    #[arg(long, env = "KAKUNIN_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// TLS private key, PEM.
    #[arg(long, env = "KAKUNIN_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask clients for the certificate of an agent (mutual TLS); those without one are served too.
    #[arg(long, env = "KAKUNIN_CLIENT_CERTIFICATES", requires = "tls_cert")]
    client_certificates: bool,
    /// Address or network of a proxy whose word about clients and their certificates is taken.
    #[arg(long = "trusted-proxy", env = "KAKUNIN_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<Network>,
    /// Requests a second that one API key may make.
    #[arg(long, env = "KAKUNIN_KEY_RATE", default_value_t = DEFAULT_KEY_RATE)]
    key_rate: NonZeroU32,
    /// Log in JSON.
    #[arg(long, env = "KAKUNIN_LOG_JSON")]
    pub(crate) log_json: bool,
    /// Let the gateway check take a bare serial number, which anybody can name, for an identity.
    #[arg(long, env = "KAKUNIN_INSECURE_SERIAL_ONLY")]
    insecure_serial_only: bool,
    /// Serve others than this machine over plain HTTP.
    #[arg(long, env = "KAKUNIN_INSECURE_PLAIN_HTTP")]
    insecure_plain_http: bool,
    /// Serve others than this machine with CA keys in software.
    #[arg(long, env = "KAKUNIN_INSECURE_SOFTWARE_KEYS")]
    insecure_software_keys: bool,
}

impl From<Serve> for ServeOptions {
    fn from(serve: Serve) -> Self {
        let tls = serve.tls_cert.zip(serve.tls_key).map(|(certificate, key)| Tls {
            client_certificates: serve.client_certificates,
            ..Tls::new(certificate, key)
        });
        Self {
            public_url: serve.public_url,
            trust_domain: serve.trust_domain,
            key_file: serve.key_file,
            tls,
            api: ApiOptions {
                trusted_proxies: serve.trusted_proxies,
                insecure_serial_only: serve.insecure_serial_only,
                key_rate: serve.key_rate,
            },
            insecure_plain_http: serve.insecure_plain_http,
            insecure_software_keys: serve.insecure_software_keys,
            ..Self::new(serve.data, serve.listen)
        }
    }
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Stay up afterwards, and print what to try.
    #[arg(long)]
    keep: bool,
    /// Address to listen at; any free port on loopback if not given.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

impl From<Demo> for demo::Options {
    fn from(demo: Demo) -> Self {
        Self { keep: demo.keep, listen: demo.listen }
    }
}

#[derive(Args)]
pub(crate) struct Replay {
    /// Events, one JSON object a line, gzipped.
    pub(crate) file: PathBuf,
    /// Agents with their scopes; `agents.jsonl.gz` beside the events if not given.
    #[arg(long)]
    agents: Option<PathBuf>,
    /// Which list of the agents file becomes the certificate's scope.
    #[arg(long, value_enum, default_value_t = Scope::Suite)]
    scope: Scope,
    /// Algorithm of the agents' keys.
    #[arg(long, value_enum, default_value_t = Key::Rsa2048)]
    key: Key,
    /// Keep the log in this folder instead of one that goes away.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    Job,
    Suite,
    Broad,
}

#[derive(Clone, Copy, ValueEnum)]
enum Key {
    #[value(name = "rsa-2048")]
    Rsa2048,
    P256,
    Ed25519,
}

impl From<&Replay> for replay::Options {
    fn from(replay: &Replay) -> Self {
        Self {
            scope: match replay.scope {
                Scope::Job => ScopeColumn::Job,
                Scope::Suite => ScopeColumn::Suite,
                Scope::Broad => ScopeColumn::Broad,
            },
            key: match replay.key {
                Key::Rsa2048 => KeyAlgorithm::Rsa2048,
                Key::P256 => KeyAlgorithm::P256,
                Key::Ed25519 => KeyAlgorithm::Ed25519,
            },
            agents: replay.agents.clone(),
            data: replay.data.clone(),
            progress: !replay.json,
        }
    }
}
