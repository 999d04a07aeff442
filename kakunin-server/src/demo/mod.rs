//! `kakunin demo`: the whole story over the public API, on this machine, in a few seconds.
//!
//! | file | does |
//! |---|---|
//! | `client.rs` | calls the API, as anybody would |
//! | `agents.rs` | twenty instances with keys of their own, which sign their requests |
//! | `story.rs` | what happens |
//! | `timeline.rs` | how it is told |

mod agents;
mod client;
mod error;
mod story;
mod timeline;

use std::net::SocketAddr;

use tokio::sync::watch;

pub use agents::Agent;
pub use client::{Answer, Client};
pub use error::DemoError;

use crate::serve::{ServeOptions, Server, stop_on_signals};
use timeline::Timeline;

/// How to play it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Stay up afterwards, until told to end.
    pub keep: bool,
    /// Address to listen at.
    pub listen: SocketAddr,
}

/// Plays the story against a new deployment that goes away with it.
///
/// # Errors
/// [`DemoError`] if anything else happens than is told.
pub async fn run(options: Options) -> Result<(), DemoError> {
    let folder = tempfile::tempdir()?;
    let mut timeline = Timeline::begin();
    let server = Server::bind(&ServeOptions::new(folder.path(), options.listen)).await?;
    let url = server.url()?;
    let key = server.deployment().admin_key.as_ref().map(|key| key.reveal().to_owned());
    let key = key.ok_or_else(|| DemoError::Story("a new deployment has no admin key".into()))?;
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let client = Client::new(&url).with_key(&key);
    let revoked = story::tell(&client, &mut timeline).await?;
    if options.keep {
        timeline.try_it_yourself(&url, folder.path(), &revoked)?;
        let mut told = stop_on_signals()?;
        // An error means that nobody can tell us to end any more.
        let _ = told.changed().await;
    }
    // The server ends with its channel, if it has not already.
    let _ = stop.send(true);
    serving.await.map_err(|error| DemoError::Api(error.to_string()))??;
    Ok(())
}
