//! The arguments of the command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kakunin_core::brand::DEFAULT_ARC;
use kakunin_core::id::TenantId;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{NotificationKind, Severity};
use kakunin_core::x509::oid::Arc;
use kakunin_kms::url::KeyUrl;
use kakunin_server::ca::RootOptions;
use kakunin_server::crl_sync;
use kakunin_server::demo;
use kakunin_server::inbox;
use kakunin_server::monitor;
use kakunin_server::replay::{self, ScopeColumn};
use kakunin_server::serve::Listen;

use crate::backup_arguments::{Backup, Restore};
use crate::config::Serve;
use crate::erase_arguments::Erase;
use crate::log_arguments::Log;
use crate::migrate_arguments::Migrate;
use crate::numbers::{between, seconds};
use crate::policy_arguments::{Judge, Tenants};
use crate::risk_arguments::Risk;
use crate::server_arguments::Server;
use crate::webhook_arguments::Webhook;

/// Machine identity for AI agents, taken away by itself when they misbehave.
#[derive(Parser)]
#[command(name = "kakunin", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serves a deployment over HTTP: SQLite and software keys in one folder, or a PostgreSQL database that servers share.
    Serve(Box<Serve>),
    /// Makes one more admin key, and prints it; a server over the deployment's folder must not be running.
    AdminKey(Box<Serve>),
    /// Plays the whole story over the public API: twenty agents, one led astray.
    Demo(Demo),
    /// Feeds recorded agent traces through issuance, scope check, scoring and revocation.
    Replay(Replay),
    /// The risk engine: over recorded traces, and over the scores of a deployment.
    #[command(subcommand)]
    Risk(Risk),
    /// An offline root, and the issuing CAs of a deployment; its server must not be running.
    #[command(subcommand)]
    Ca(Ca),
    /// Keeps a file with the CRLs of a chain current, for TLS stacks that read files.
    CrlSync(CrlSync),
    /// Revokes a canary, and times who refuses it when, by the public API.
    Monitor(Monitor),
    /// Webhooks of a tenant: who is told what happens, and what became of that.
    #[command(subcommand)]
    Webhook(Webhook),
    /// Shows what people should know of a deployment, and marks what was read.
    Inbox(Inbox),
    /// What a tenant decides over scores: policy, breaker, and what waits for a second person.
    #[command(mut_args(|argument| argument.global(true)))]
    Policy {
        #[command(flatten)]
        options: Box<Tenants>,
        #[command(flatten)]
        server: Server,
    },
    /// Says what is to be made of an agent's score.
    Verdict {
        #[command(flatten)]
        judge: Judge,
        #[command(flatten)]
        server: Server,
    },
    /// Erases what an agent's events hold beside their records, of some months, on the record.
    Erase(Erase),
    /// Copies a deployment, also while it is being served, into parts that may lie apart, and reads them back.
    Backup(Backup),
    /// Puts a backup back where nothing is.
    Restore(Restore),
    /// Makes all that follows from the logs anew from them, and says what of the stored rows differs; the deployment's server
    /// must not be running. Ends with 0 if nothing does, 1 if something did, 2 if that cannot be said.
    Rebuild {
        #[command(flatten)]
        serve: Box<Serve>,
        /// Say what differs, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes the tables of a database, or brings them up to date; with --from, moves the deployment of a folder there.
    Migrate(Box<Migrate>),
    /// The logs of a deployment: whether they are what was signed.
    #[command(subcommand)]
    Log(Log),
    /// Prints the OpenAPI document.
    Openapi,
}

#[derive(Subcommand)]
pub(crate) enum Ca {
    /// Makes a root on a machine that is kept offline, and prints its certificate.
    Init {
        #[command(flatten)]
        root: Root,
        /// Where the deployment below it publishes: the root then names its CRL there.
        #[arg(long, value_name = "URL")]
        public_url: Option<String>,
    },
    /// Signs a request with that root, and prints the new certificate and the root's.
    SignIssuing {
        #[command(flatten)]
        root: Root,
        /// The request that `kakunin ca request` printed.
        request: PathBuf,
        /// Tenant whose agents it may certify, and no others: its certificate says so.
        #[arg(long)]
        tenant: Option<TenantId>,
        /// Arc of the agent extensions, if the deployment has another.
        #[arg(long, requires = "tenant", default_value = DEFAULT_ARC, value_parser = Arc::parse)]
        arc: Arc,
    },
    /// Prints a request for the deployment's next issuing CA, or its first.
    Request(Box<Serve>),
    /// Installs what the root signed, and makes the deployment if there is none.
    Install {
        #[command(flatten)]
        serve: Box<Serve>,
        /// What `kakunin ca sign-issuing` printed.
        chain: PathBuf,
        /// Tenant to issue for, if not for every tenant that has no issuing CA of its own.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Signs an empty CRL with that root, and prints it: who checks whole chains needs one.
    SignCrl {
        #[command(flatten)]
        root: Root,
        /// How long it is valid.
        #[arg(long, default_value = "365", value_parser = |text: &str| between(text, 1_u16, 3_650))]
        days: u16,
    },
    /// Installs what `sign-crl` printed; it is served from the next start on.
    InstallCrl {
        #[command(flatten)]
        serve: Box<Serve>,
        /// What `kakunin ca sign-crl` printed.
        crl: PathBuf,
    },
    /// Replaces the issuing CA by one under the deployment's own root.
    Rotate {
        #[command(flatten)]
        serve: Box<Serve>,
        /// Tenant to issue for, if not for every tenant that has no issuing CA of its own.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

#[derive(Args)]
pub(crate) struct Root {
    /// Folder of the root.
    #[arg(long)]
    root: PathBuf,
    /// File with the key that encrypts the root's key; made by `init` if it is not there.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Where the root's key is, if not in the folder: `pkcs11:...` or `awskms:...`.
    #[arg(long, value_parser = |text: &str| text.parse::<KeyUrl>())]
    keys: Option<KeyUrl>,
}

impl From<Root> for RootOptions {
    fn from(Root { root, key_file, keys }: Root) -> Self {
        Self { folder: root, key_file, keys }
    }
}

#[derive(Args)]
pub(crate) struct CrlSync {
    /// The server: `https://ca.example`, or another URL that answers with CRLs in PEM.
    #[arg(long)]
    url: String,
    /// The file that is kept current; readers see the old one or the new one.
    #[arg(long)]
    out: PathBuf,
    /// Certificates of the CAs whose CRLs are believed, PEM, as `GET /api/v1/ca/chain` gives them.
    #[arg(long)]
    ca: PathBuf,
    /// Anchors of the server's TLS certificate, PEM, if not the system's.
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// File with an API key, for CRLs that its tenant keeps to itself.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// What the shell runs when the file changed, and once at the start: `nginx -s reload`. It is ended after 30 s.
    #[arg(long)]
    exec: Option<String>,
    /// Seconds between two looks.
    #[arg(long, default_value_t = crl_sync::EVERY, value_parser = |text: &str| between(text, 1_u64, 86_400))]
    every: u64,
    /// Look once, and fail if that fails.
    #[arg(long)]
    once: bool,
}

impl From<CrlSync> for crl_sync::Options {
    fn from(CrlSync { url, out, ca, tls_ca, key_file, exec, every, once }: CrlSync) -> Self {
        let (exec_limit, every) = (crl_sync::EXEC_LIMIT, Duration::from_secs(every));
        Self { url, out, ca, tls_ca, key_file, exec, exec_limit, every, once }
    }
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Stay up afterwards, and print what to try.
    #[arg(long)]
    keep: bool,
    /// Address to listen at; any free port on loopback if not given.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Listen,
}

impl From<Demo> for demo::Options {
    fn from(demo: Demo) -> Self {
        Self { keep: demo.keep, listen: demo.listen.0 }
    }
}

#[derive(Args)]
pub(crate) struct Monitor {
    /// URL of the server.
    #[arg(long)]
    url: String,
    /// File with an API key of role `operator`.
    #[arg(long)]
    key_file: PathBuf,
    /// Certificates (PEM) that the server and the gateways are trusted by, if not the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// URL behind a gateway that lets `read:canary` in; asked with the canary's certificate by mutual TLS.
    #[arg(long = "probe")]
    probes: Vec<String>,
    /// Seconds that each may take.
    #[arg(long, default_value_t = 60, value_parser = seconds::<u64>)]
    bound: u64,
    /// Let the canary bring its revocation upon itself, by what it is refused.
    #[arg(long)]
    by_score: bool,
    /// Write what was measured to this file too, for the textfile collector of Prometheus' `node_exporter`.
    #[arg(long)]
    pub(crate) textfile: Option<PathBuf>,
    /// Measure again, this many seconds after the last time, until told to end.
    #[arg(long, value_parser = seconds::<u64>)]
    pub(crate) every: Option<u64>,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&Monitor> for monitor::Options {
    fn from(monitor: &Monitor) -> Self {
        Self {
            url: monitor.url.clone(),
            key_file: monitor.key_file.clone(),
            ca: monitor.ca.clone(),
            probes: monitor.probes.clone(),
            bound: Duration::from_secs(monitor.bound),
            by_score: monitor.by_score,
        }
    }
}

/// What `kakunin inbox` shows.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Inbox {
    #[command(subcommand)]
    pub(crate) command: Option<InboxCommand>,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Only what was not read with this key.
    #[arg(long)]
    unread: bool,
    /// Only what is this urgent: info, warning or critical.
    #[arg(long)]
    severity: Option<Severity>,
    /// Only what is of this kind, such as `pre_revocation_warning`.
    #[arg(long)]
    kind: Option<NotificationKind>,
    /// How many, the newest first.
    #[arg(long, default_value_t = 20, value_parser = |text: &str| between(text, 1_usize, 10_000))]
    limit: usize,
    /// Oldest first, and then what comes, until told to end.
    #[arg(long)]
    follow: bool,
    /// Print each as a line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum InboxCommand {
    /// Marks as read, for the API key that is shown.
    Read {
        #[command(flatten)]
        server: Server,
        /// Which.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Everything that is there.
        #[arg(long)]
        all: bool,
    },
}

impl From<&Inbox> for inbox::Options {
    fn from(inbox: &Inbox) -> Self {
        let Inbox { unread, severity, kind, limit, follow, json, .. } = *inbox;
        Self { unread, severity, kind, limit, follow, json }
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
    /// Write the score after each event to this file, one JSON object a line.
    #[arg(long)]
    scores: Option<PathBuf>,
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
            scores: replay.scores.clone(),
            progress: !replay.json,
        }
    }
}
