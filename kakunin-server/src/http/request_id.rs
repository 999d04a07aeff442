//! Each request has an identifier, which its answer and the server's log name.

use std::sync::Arc;

use kakunin_core::id::{SystemEntropy, hex_encode, uuid_v7};
use kakunin_core::time::{Clock, SystemClock};

/// A UUIDv7 without hyphens.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Arc<str>);

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The request that this task answers, if it answers one.
pub(crate) fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

impl RequestId {
    pub(crate) fn new() -> Self {
        let id = uuid_v7(SystemClock.now(), &SystemEntropy).map(|id| hex_encode(&id));
        Self(id.unwrap_or_default().into())
    }

    /// Answers this request: lines of the log name it.
    pub(crate) fn answering<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), answer)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
