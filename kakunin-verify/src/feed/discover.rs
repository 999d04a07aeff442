//! Learns which issuing CAs a deployment has. Nobody is believed for it: a CA is trusted by its anchor, and its feed
//! by the feed key. One that is not named is not followed, and what it issued is refused.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kakunin_core::id::IssuerId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::crew::Crew;
use super::transport::FetchError;

/// How often the deployment is asked for its issuing CAs.
pub const LOOK: Duration = Duration::from_secs(10);
/// The most that are followed: each is a connection.
const MOST: usize = 64;
/// How long one that keeps its revocations to another tenant is left alone.
const FOREIGN: Duration = Duration::from_secs(60);

/// Follows whatever the deployment names.
pub(super) struct Discover {
    crew: Crew,
    known: HashSet<IssuerId>,
    /// Those that the key does not open, and when that was seen.
    foreign: HashMap<IssuerId, Instant>,
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
        Self { crew, known: followed.into_iter().collect(), foreign: HashMap::new(), tasks: JoinSet::new() }
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
        for (issuer, private) in named(answer.data) {
            if self.known.contains(&issuer) || (private && !self.opens(&issuer).await?) {
                continue;
            }
            if self.known.len() >= MOST {
                tracing::error!(code = "feed_authorities", %issuer, "not followed: there are too many issuing CAs");
            } else if let Ok(follow) = self.crew.follow(issuer) {
                tracing::info!(%issuer, "following an issuing CA");
                self.known.insert(issuer);
                self.tasks.spawn(follow.run());
            }
        }
        Ok(())
    }

    /// Whether there is a key, and it opens what this CA keeps to its tenant.
    async fn opens(&mut self, issuer: &IssuerId) -> Result<bool, FetchError> {
        let lately = self.foreign.get(issuer).is_some_and(|seen| seen.elapsed() < FOREIGN);
        if lately || !self.crew.transport.has_key() {
            return Ok(false);
        }
        match self.crew.transport.get(&format!("/api/v1/feed/{issuer}?limit=1")).await {
            Ok(_) => Ok(true),
            Err(FetchError::Refused { status: 401 | 403 | 404, .. }) => {
                self.foreign.insert(*issuer, Instant::now());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Issuing CAs, and whether each keeps its revocations to a tenant.
fn named(all: Authorities) -> impl Iterator<Item = (IssuerId, bool)> {
    let issuing = all.authorities.into_iter().filter(|ca| ca.role == "issuing");
    issuing.filter_map(|ca| {
        let private = ca.revocations.as_deref() == Some("private");
        Some((IssuerId::try_from(ca.key_id).ok()?, private))
    })
}
