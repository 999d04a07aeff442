//! Where revocations are kept, by issuing CA.

use core::fmt;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::revoke::{Revocation, RevocationChange};

/// The projection of the revocation logs that CRLs, feeds and look-ups are made from.
///
/// * Atomicity: one call applies all of its changes, or none.
/// * Durability: on return they survive a crash.
/// * Concurrency: any number of readers; calls of `apply` for one issuer come in order.
/// * Idempotence: a change whose index was applied before is passed over; the first revocation of a
///   serial wins over later ones, a hold gives way to a revocation, and only a hold can be released.
#[async_trait]
pub trait RevocationStore: fmt::Debug + Send + Sync {
    /// Applies changes of `issuer`'s revocation log, each with its index there, in rising order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError>;

    /// How many records of `issuer`'s revocation log were applied: the next index it waits for.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError>;

    /// The revocation or hold of a certificate, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError>;

    /// Up to `limit` standing revocations whose index is `cursor` or above, with their indices,
    /// strictly increasing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError>;

    /// Replaces all that is kept of `issuer` by what its log says below index `applied`: after somebody else
    /// wrote here.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError>;
}
