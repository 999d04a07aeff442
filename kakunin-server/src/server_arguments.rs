//! Which server a command asks, by flags.

use std::path::PathBuf;

use clap::Args;
use kakunin_server::client;

/// Which server a command asks.
#[derive(Args)]
pub(crate) struct Server {
    /// URL of the server.
    #[arg(long, env = "KAKUNIN_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// File with an API key; without one, the variable KAKUNIN_API_KEY holds it.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Certificates (PEM) that the server is trusted by, if not the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl From<&Server> for client::Options {
    fn from(Server { url, key_file, ca }: &Server) -> Self {
        Self { url: url.clone(), key_file: key_file.clone(), ca: ca.clone() }
    }
}
