//! Learns which issuing CAs a deployment has. Nobody is believed for it: a CA is trusted by its anchor, and its feed
//! by the feed key. One that is not named is not followed, and what it issued is refused.

use std::collections::HashSet;
use std::time::Duration;

use kakunin_core::id::IssuerId;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::Crew;
use super::transport::FetchError;

/// How often the deployment is asked for its issuing CAs.
pub const LOOK: Duration = Duration::from_secs(10);
/// The most that are followed: each is a connection.
const MOST: usize = 64;

/// Follows whatever the deployment names.
pub(super) struct Discover {
    crew: Crew,
    known: HashSet<IssuerId>,
    tasks: JoinSet<()>,
}

/// `GET /api/v1/ca`, as far as it matters here.
#[derive(serde::Deserialize)]
struct Answer {
    data: Authorities,
}

#[derive(serde::Deserialize)]
struct Authorities {
    authorities: Vec<Authority>,
}

#[derive(serde::Deserialize)]
struct Authority {
    role: String,
    key_id: String,
    #[serde(default)]
    revocations: Option<String>,
}

/// Why none were learned of.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer names no authorities")]
    Malformed,
}

impl Discover {
    pub(super) fn new(crew: Crew, followed: Vec<IssuerId>) -> Self {
        Self { crew, known: followed.into_iter().collect(), tasks: JoinSet::new() }
    }

    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(code = "feed_authorities", "{error}; asking again");
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<(), Unknown> {
        let octets = self.crew.transport.get("/api/v1/ca").await?;
        let answer: Answer = serde_json::from_slice(&octets).map_err(|_| Unknown::Malformed)?;
        for issuer in named(answer.data, self.crew.transport.has_key()) {
            if self.known.len() >= MOST {
                tracing::error!(code = "feed_authorities", %issuer, "not followed: there are too many issuing CAs");
            } else if self.known.insert(issuer)
                && let Ok(follow) = self.crew.follow(issuer)
            {
                tracing::info!(%issuer, "following an issuing CA");
                self.tasks.spawn(follow.run());
            }
        }
        Ok(())
    }
}

/// Issuing CAs whose feed can be read, with a key or without.
fn named(all: Authorities, key: bool) -> impl Iterator<Item = IssuerId> {
    let readable = move |ca: &Authority| key || ca.revocations.as_deref() != Some("private");
    let issuing = all.authorities.into_iter().filter(|ca| ca.role == "issuing").filter(readable);
    issuing.filter_map(|ca| IssuerId::try_from(ca.key_id).ok())
}
