//! Projections of the log other than revocations, and what is kept beside the log.

use async_trait::async_trait;

use crate::error::StoreError;
use crate::log::entry::LogId;
pub use crate::store::kind::Kind;

/// A value that is set, or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its key within kind and log.
    pub key: Vec<u8>,
    /// The new value, or `None` to take it away.
    pub value: Option<Vec<u8>>,
}

/// What somebody else did to a store that is open here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// How often it was seen that somebody else wrote since the store was opened.
    pub writes: u64,
    /// What of its structure was not as it was made, and was made so again.
    pub structure: Vec<String>,
}

/// The rows of one log as all of them are at one moment, whatever is written meanwhile. It is not kept for longer than it
/// takes to read them: a store may have to keep what was, for as long.
#[async_trait]
pub trait StateView: core::fmt::Debug + Send {
    /// The index below which records of the log were applied at that moment.
    fn applied(&self) -> u64;

    /// As [`StateStore::scan`], at that moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(
        &mut self,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>;
}

/// Keeps rows by log, table and key, and knows nothing of what is in them: [`Kind`] lists the tables. A tenant's state is reached by naming its log, and by nothing else.
///
/// * Atomicity: one call is one transaction.
/// * Durability: on return of `apply` and `put` the values survive a crash.
/// * Concurrency: any number of readers; `apply` for one log comes in order.
/// * Idempotence: `apply` up to an index that was applied before changes nothing; `put` sets.
#[async_trait]
pub trait StateStore: core::fmt::Debug + Send + Sync {
    /// Applies what follows from the records of `log` below `index`, if not done yet.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError>;

    /// The index below which the records of `log` were applied.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError>;

    /// Sets values that are not projections, whatever was applied.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError>;

    /// Sets one value that is no projection, if the one that is there is `expected`, and says whether it was: of several
    /// at once who expect the same, one is told so.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError>;

    /// One value.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` values of a kind whose key is above `after`, in order of their keys.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>;

    /// The rows of a log as they are now, and how far they follow from it: both of one moment. Nobody who writes waits for
    /// more than a look.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError>;

    /// What somebody else did to it, as far as that can be seen at little cost: asked for every second.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn touched(&self) -> Result<Touched, StoreError>;
}
