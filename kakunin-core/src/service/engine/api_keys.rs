//! Reading the hashes of the API's keys from the vault: they are believed as the log commits to them.

use super::inner::Inner;
use super::ledger::Ledger;
use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash};
use crate::error::StoreError;
use crate::id::hex_decode;
use crate::service::command::system::api_keys::MAX_KEYS;
use crate::service::error::Error;
use crate::time::{HOUR, UnixTime};

const PREFIX: &str = "api-key/";
/// Rows read at once: more than there can be, by somebody else's hand too.
const MAX_ROWS: usize = 2 * MAX_KEYS;

/// A key in the vault.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) sha256: String,
    pub(crate) facts: ApiKeyFacts,
}

impl Inner {
    /// Holds what the vault has of keys against those that the log says there are; what else it has is taken away.
    pub(crate) async fn look_at_api_keys(&self, system: &mut Ledger) -> Result<(), Error> {
        let vault = self.parts.vault();
        let rows = vault.list(PREFIX.as_bytes(), MAX_ROWS).await?;
        self.settle_system(system).await?;
        for (key, value) in rows {
            let standing = |id: &ApiKeyId| self.known.read(|state| state.keys.get(id).is_some());
            if let Some(id) = id_of(&key).filter(standing) {
                self.believe(id, Some(&value));
                continue;
            }
            if is_over(&key, self.now()) {
                vault.remove(&[key]).await?;
            }
        }
        self.api_keys.unknown().into_iter().for_each(|id| self.believe(id, None));
        Ok(())
    }

    /// Asks the vault for the hashes of keys that came on record since.
    pub(super) async fn look_up_api_keys(&self) -> Result<(), StoreError> {
        for id in self.api_keys.unknown() {
            let row = self.parts.vault().get(&row_key(&id)).await?;
            self.believe(id, row.as_deref());
        }
        Ok(())
    }

    /// Takes the row of a key for what the log commits to, or says that it is not.
    fn believe(&self, id: ApiKeyId, row: Option<&[u8]>) {
        let (commitment, sealed) =
            self.known.read(|state| (state.keys.commitment(&id), state.sealed.is_some()));
        let fits = |hash: &KeyHash| match commitment {
            Some(commitment) => commitment == KeyCommitment::new(id.as_bytes(), hash),
            // Of before commitments were on record; after the first start since then there are none.
            None => !sealed,
        };
        let hash = row.and_then(stored_hash).filter(fits);
        if row.is_some() && hash.is_none() {
            self.damages.note(format!(
                "the hash of API key {id} was changed by somebody else; the key is refused: revoke it, and make another"
            ));
        }
        self.api_keys.learn(id, hash);
    }
}

/// Whether no record will come any more of a key that the vault has and no record names: another process may be about to
/// write that. Else it was cut off, or somebody else wrote it; either way it opens nothing.
fn is_over(key: &[u8], now: UnixTime) -> bool {
    let made_at = |id: ApiKeyId| {
        let (time, _) = id.as_bytes().split_first_chunk::<6>()?;
        Some(UnixTime::from_millis(time.iter().fold(0, |all, octet| all << 8 | u64::from(*octet))))
    };
    id_of(key).and_then(made_at).is_none_or(|at| now.since(at) > HOUR)
}

fn stored_hash(value: &[u8]) -> Option<KeyHash> {
    let row: Row = serde_json::from_slice(value).ok()?;
    Some(KeyHash::from_bytes(hex_decode(&row.sha256)?))
}

fn id_of(key: &[u8]) -> Option<ApiKeyId> {
    core::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Key of the row that keeps the hash of an API key.
pub(crate) fn row_key(id: &ApiKeyId) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}
