//! The heads that a log had, as far as a store keeps them: who looks whether a log is what was signed holds each
//! against its leaves.

use async_trait::async_trait;

use super::audit::AuditSink;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::walk::SignedHead;

/// Reads the heads that appends left. Nothing of them is checked.
///
/// * Atomicity: each head is as one append left it.
/// * Durability: those that are read survive a crash.
/// * Concurrency: any number of readers, beside whoever appends.
/// * Idempotence: reading changes nothing.
#[async_trait]
pub trait Heads: core::fmt::Debug + Send + Sync {
    /// The largest of at most `size` leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn at_most(&self, log: &LogId, size: u64) -> Result<Option<SignedHead>, StoreError>;

    /// Up to `limit` of more than `size` leaves, the smallest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn above(&self, log: &LogId, size: u64, limit: usize) -> Result<Vec<SignedHead>, StoreError>;
}

/// What any sink keeps: the newest head of each log.
#[derive(Debug)]
pub struct Newest<'s>(pub &'s dyn AuditSink);

impl Newest<'_> {
    async fn head(&self, log: &LogId) -> Result<Option<SignedHead>, StoreError> {
        let (head, checkpoint) = self.0.head(log).await?;
        let (size, root, time) = (head.frontier.size(), head.frontier.root(), head.time);
        let roots = head.frontier.roots().to_vec();
        Ok(checkpoint.map(|checkpoint| SignedHead { before: None, size, roots, root, time, checkpoint }))
    }
}

#[async_trait]
impl Heads for Newest<'_> {
    async fn at_most(&self, log: &LogId, size: u64) -> Result<Option<SignedHead>, StoreError> {
        Ok(self.head(log).await?.filter(|head| head.size <= size))
    }

    async fn above(&self, log: &LogId, size: u64, limit: usize) -> Result<Vec<SignedHead>, StoreError> {
        let newest = self.head(log).await?.filter(|head| head.size > size);
        Ok(newest.into_iter().take(limit).collect())
    }
}
