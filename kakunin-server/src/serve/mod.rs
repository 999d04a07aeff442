//! `kakunin serve`: a deployment over embedded SQLite or a PostgreSQL database, served over HTTP.
//!
//! | file | does |
//! |---|---|
//! | `options.rs` | what may be configured, and what is refused |
//! | `wire.rs`, `database.rs` | the one place that names concrete backends: a folder, a database |
//! | `first_key.rs` | the first admin key |
//! | `listen.rs`, `listener.rs` | where; connections: accepted, limited, ended |
//! | `connection.rs`, `listening.rs` | one of them; what all share, and how requests are answered |
//! | `activity.rs`, `pace.rs` | when one has done nothing for too long; how long the other side may take |
//! | `patient.rs`, `arriving.rs`, `delivery.rs` | connections that are not read; bodies that do not come, or are not taken |
//! | `warnings.rs` | what is told before it is too late: what follows the logs and fails, ends of CAs, a log that is ahead of the clock |
//! | `upkeep.rs` | duty, silence and damage of a database |
//! | `files.rs` | the TLS pair and files with secrets, looked at again and again |
//! | `pair.rs`, `exposed.rs` | how long a TLS pair is good, and for whom; secrets that others can read |
//! | `records.rs` | what happens to agents, as lines of the log |
//! | `tls.rs` | TLS, reloaded when its files change; client certificates |
//! | `reload.rs` | another configuration while it runs |

mod activity;
mod arriving;
mod connection;
mod delivery;
mod exposed;
mod files;
mod first_key;
mod lingering;
mod listen;
mod listener;
mod listening;
mod options;
mod pace;
mod pair;
mod patient;
mod place;
mod records;
mod reload;
mod tls;
mod upkeep;
mod warnings;

pub(crate) mod around;
pub(crate) mod database;
pub(crate) mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kakunin_core::error::StoreError;
use kakunin_core::service::{Error, Kakunin};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use listen::{Listen, ListenError};
pub use options::{DEFAULT_CONNECTIONS_PER_ADDRESS, Patience, ServeError, ServeOptions, Tls, WebhookOptions};
pub use place::Database;
pub use reload::{Reloaded, Reloads};
pub use wire::{Deployment, make_admin_key};

use crate::http;

/// Before what broke off is begun again.
const AGAIN: Duration = Duration::from_secs(1);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    reloads: Reloads,
    deployment: Deployment,
    /// Ends the streams.
    ending: watch::Sender<bool>,
}

impl Server {
    /// Opens or makes the deployment, and listens.
    ///
    /// # Errors
    /// [`ServeError`] says what to change.
    pub async fn bind(options: &ServeOptions) -> Result<Self, ServeError> {
        options.check()?;
        // First, so that two servers do not both think that they may begin a deployment here.
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| ServeError::Listen { address: options.listen, source })?;
        let address = listener.local_addr().map_err(ServeError::Io)?;
        // No deployment is made by a start that is refused.
        options.tls.as_ref().map(tls::check).transpose()?;
        let deployment = wire::open(options, address).await?;
        let tls = match &options.tls {
            Some(files) => {
                let kakunin = &deployment.kakunin;
                let issuing = kakunin.authorities().into_iter().map(|ca| ca.issuer);
                let all = kakunin.roots().into_iter().chain(issuing);
                Some(tls::Reloading::load(files, all.map(|ca| ca.as_der().to_vec()).collect())?)
            }
            None => None,
        };
        let (ending, ended) = watch::channel(false);
        let (kakunin, clock) = (deployment.kakunin.clone(), deployment.clock.clone());
        let api = http::ApiOptions { new_deployment: deployment.new, ..options.api.clone() };
        let public_url = &kakunin.place().public_url;
        tracing::info!("{}", options.believed(public_url));
        let app = http::App::new(kakunin, clock, api, ended)?;
        let settings = listening::Settings::of(options, http::router_of(app.clone()));
        let listening = Arc::new(listening::Listening::new(settings, tls));
        let watch = Arc::new(files::Watch::new(listening.clone(), &app, exposed::watched(options)));
        let reloads = Reloads { listening, watch, now: Arc::new(Mutex::new((options.clone(), app))) };
        Ok(Self { listener, reloads, deployment, ending })
    }

    /// Gives it other options while it runs.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// The deployment.
    #[must_use]
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// URL at which it listens.
    ///
    /// # Errors
    /// If the system does not say at which address.
    pub fn url(&self) -> Result<String, ServeError> {
        let scheme = if self.reloads.listening.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.listener.local_addr().map_err(ServeError::Io)?))
    }

    /// Serves until `stop` says so; then requests that are under way are finished, for at most 10 s, and
    /// the risk histories are stored, for at most 10 s, so that the next start replays little.
    ///
    /// # Errors
    /// [`ServeError`] if the histories could not be stored; nothing acknowledged is lost.
    pub async fn serve(self, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
        let Self { listener, reloads, deployment, ending } = self;
        let following = tokio::spawn(follow(deployment.kakunin.clone()));
        let warning = tokio::spawn(warnings::warn(deployment.kakunin.clone(), deployment.store.clone()));
        let watching = tokio::spawn(reloads.watch.clone().look_for_ever());
        let ending = tokio::spawn(end_streams(stop.clone(), ending));
        listener::serve(listener, reloads.listening, stop).await;
        ending.abort();
        // What they leave undone is stored, and done after the next start.
        following.abort();
        warning.abort();
        watching.abort();
        http::FAILURES.tell(true);
        keep_guard(&deployment.kakunin).await;
        let stored = tokio::time::timeout(listener::GRACE, deployment.kakunin.snapshot()).await;
        // It puts records on the log.
        keep_guard(&deployment.kakunin).await;
        match stored {
            Ok(Err(Error::Store(StoreError::Full))) => {
                tracing::warn!("there is no room for the risk histories; the next start replays more");
            }
            Ok(stored) => stored?,
            Err(_) => {
                tracing::warn!("the risk histories were not stored in time; the next start replays more")
            }
        }
        Ok(())
    }
}

async fn keep_guard(kakunin: &Kakunin) {
    if let Err(error) = kakunin.keep_guard().await {
        tracing::warn!(%error, "the newest checkpoints were not kept; the guard lags by what was recorded last");
    }
}

/// Ends the streams at once when the server is told to end: they would last for ever.
async fn end_streams(mut stop: watch::Receiver<bool>, ending: watch::Sender<bool>) {
    // An error means that whoever could stop us is gone, and the listener ends too.
    let _ = stop.wait_for(|stop| *stop).await;
    ending.send_replace(true);
}

/// Does what follows from the logs, for as long as the server runs.
async fn follow(kakunin: Kakunin) {
    loop {
        // Ended with this one.
        let mut running = JoinSet::new();
        running.spawn(kakunin.clone().run(tokio::time::sleep));
        let Some(Err(error)) = running.join_next().await else { continue };
        tracing::error!(%error, "what follows the logs broke off, and is begun again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Becomes true when the process is told to end.
///
/// # Errors
/// If signals cannot be listened for.
pub fn stop_on_signals() -> Result<watch::Receiver<bool>, ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Io)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Nobody listens any more if the server has ended already.
        let _ = sender.send(true);
    });
    Ok(receiver)
}
