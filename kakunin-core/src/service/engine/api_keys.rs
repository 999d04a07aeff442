//! Reading the hashes of the API's keys from the vault: they are believed as the log commits to them.

use super::inner::Inner;
use super::ledger::Ledger;
use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash};
use crate::error::StoreError;
use crate::id::hex_decode;
use crate::log::entry::LogId;
use crate::service::command::system::api_keys::MAX_KEYS;
use crate::service::error::Error;
use crate::store::state::{Change, Kind};

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
        let rows = self.api_key_rows().await?;
        // A row is written with its record: of what is in the vault by now, no record is missing after this.
        self.settle_system(system).await?;
        for (key, value) in rows {
            let standing = |id: &ApiKeyId| self.known.read(|state| state.keys.get(id).is_some());
            if let Some(id) = id_of(&key).filter(standing) {
                self.believe(id, Some(&value));
                continue;
            }
            // Revoked meanwhile, its row went with it.
            if self.parts.state.get(&LogId::System, Kind::Vault, &key).await?.is_none() {
                continue;
            }
            let name = String::from_utf8_lossy(&key).escape_default().to_string();
            self.damages
                .note(format!("{name} in the vault is of no key on record; it is refused, and was removed"));
            self.parts.state.put(&LogId::System, &[Change { kind: Kind::Vault, key, value: None }]).await?;
        }
        self.api_keys.unknown().into_iter().for_each(|id| self.believe(id, None));
        Ok(())
    }

    /// Asks the vault for the hashes of keys that came on record since.
    pub(super) async fn look_up_api_keys(&self) -> Result<(), StoreError> {
        for id in self.api_keys.unknown() {
            let row = self.parts.state.get(&LogId::System, Kind::Vault, &row_key(&id)).await?;
            self.believe(id, row.as_deref());
        }
        Ok(())
    }

    // The vault is shared; of its rows, those of keys follow their prefix.
    async fn api_key_rows(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let after = Some(PREFIX.as_bytes());
        let rows = self.parts.state.scan(&LogId::System, Kind::Vault, after, MAX_ROWS).await?;
        Ok(rows.into_iter().take_while(|(key, _)| key.starts_with(PREFIX.as_bytes())).collect())
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
