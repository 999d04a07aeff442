//! What says that a store is being moved into, and from which deployment.

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::leaf_hash;
use crate::service::engine::parts::Parts;
use crate::service::error::Error;

/// Row of the vault.
const MARK: &[u8] = b"moving";

/// Whether a move into this store was begun and not finished: nobody makes or serves a deployment there.
///
/// # Errors
/// What the store says.
pub async fn is_being_moved_into(parts: &Parts) -> Result<bool, Error> {
    Ok(parts.vault().get(MARK).await?.is_some())
}

/// Marks the store, and says whether it was marked for this deployment before.
pub(super) async fn set(from: &Parts, to: &Parts) -> Result<bool, Error> {
    let first = from.sink.read(&LogId::System, 0, 1).await?.pop();
    let first = first.ok_or_else(|| StoreError::Corrupt("the deployment's record is missing".into()))?;
    let ours = leaf_hash(&first.leaf);
    match to.vault().get(MARK).await? {
        Some(mark) if mark == ours => return Ok(true),
        Some(_) => {
            return Err(Error::Exists(
                "a move of another deployment into this store was begun; go on with that one, or take an empty store",
            ));
        }
        None => {}
    }
    if !to.sink.logs().await?.is_empty() || !to.vault().list(b"", 1).await?.is_empty() {
        return Err(Error::Exists("there is a deployment in this store already; take an empty one"));
    }
    if to.vault().put_new(MARK, &ours).await? {
        return Ok(false);
    }
    Err(Error::Exists("somebody else began to move into this store just now; wait until that has ended"))
}

pub(super) async fn take_away(to: &Parts) -> Result<(), Error> {
    Ok(to.vault().remove(&[MARK.to_vec()]).await?)
}
