//! The client: which issuing CAs are followed, and of which deployment.

use std::sync::Arc;

use kakunin_core::id::IssuerId;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::time::{Clock, SystemClock};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::board::{Board, FeedStatus};
use super::crew::Crew;
use super::discover::Discover;
use super::setup::FeedSetupError;
use super::transport::Transport;
use crate::revocation::RevocationHandle;

/// Follows the revocation feed of a deployment, for a verifier that looks into the same
/// [`RevocationHandle`]. Requests go as [`http`](super::http) says, through a proxy if the environment names one.
pub struct FeedClient {
    url: String,
    key: Arc<CosignerKey>,
    issuers: Vec<IssuerId>,
    all: bool,
    roots: Vec<Vec<u8>>,
    api_key: Option<Zeroizing<String>>,
    handle: RevocationHandle,
    clock: Arc<dyn Clock>,
}

impl FeedClient {
    /// A client of the deployment at `url`. `feed_verifier` is its feed key, handed out with the anchors.
    ///
    /// # Errors
    /// [`FeedSetupError::Key`].
    pub fn new(url: &str, feed_verifier: &str, handle: RevocationHandle) -> Result<Self, FeedSetupError> {
        let key = CosignerKey::parse(feed_verifier).map_err(|_| FeedSetupError::Key)?;
        let url = url.to_owned();
        Ok(Self {
            url,
            key: Arc::new(key),
            issuers: Vec::new(),
            all: false,
            roots: Vec::new(),
            api_key: None,
            handle,
            clock: Arc::new(SystemClock),
        })
    }

    /// Follows one more issuing CA.
    #[must_use]
    pub fn issuer(mut self, issuer: IssuerId) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Follows every issuing CA that the deployment names, also those that it makes later: it is asked every
    /// [`LOOK`](super::LOOK). Those that keep their revocations to a tenant are followed with a key of that tenant.
    #[must_use]
    pub const fn every_issuer(mut self) -> Self {
        self.all = true;
        self
    }

    /// Shows this API key, for feeds that a tenant keeps to itself; role `reader` is enough.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(Zeroizing::new(key.to_owned()));
        self
    }

    /// TLS trusts this root, DER, and those named like this alone, instead of the system's.
    #[must_use]
    pub fn tls_root(mut self, der: &[u8]) -> Self {
        self.roots.push(der.to_vec());
        self
    }

    /// Tells the time by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Begins to follow, on the runtime of the caller.
    ///
    /// # Errors
    /// [`FeedSetupError`].
    pub fn start(self) -> Result<Following, FeedSetupError> {
        let transport =
            Transport::new(&self.url, &self.roots, self.api_key.as_ref().map(|key| key.as_str()))?;
        let board = Board::default();
        let Self { key, handle, clock, .. } = self;
        let crew = Crew { transport, key, handle, clock, board: board.clone() };
        let mut tasks = Vec::with_capacity(self.issuers.len());
        for issuer in &self.issuers {
            let follow = crew.follow(*issuer).map_err(|_| FeedSetupError::Key)?;
            tasks.push(tokio::spawn(follow.run()));
        }
        if self.all {
            tasks.push(tokio::spawn(Discover::new(crew, self.issuers).run()));
        }
        Ok(Following { board, tasks })
    }
}

// The key is nobody's business.
impl core::fmt::Debug for FeedClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FeedClient")
            .field("url", &self.url)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

/// A client at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Following {
    board: Board,
    tasks: Vec<JoinHandle<()>>,
}

impl Following {
    /// How it stands with an issuing CA; `None` if it is not followed.
    #[must_use]
    pub fn status(&self, issuer: &IssuerId) -> Option<FeedStatus> {
        self.board.lock().get(issuer).cloned()
    }

    /// The issuing CAs that are followed.
    #[must_use]
    pub fn issuers(&self) -> Vec<IssuerId> {
        self.board.lock().keys().copied().collect()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
