//! Reading the keys of the API from vault and log.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::damage::Damages;
use super::parts::Parts;
use super::system::{rows, rows_with_keys};
use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash};
use crate::error::StoreError;
use crate::id::hex_decode;
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::system;
use crate::time::{HOUR, UnixTime};

const PREFIX: &str = "api-key/";
/// The most there can be.
pub(crate) const MAX_KEYS: usize = 100_000;
/// Rows read at once: more than there can be, by somebody else's hand too.
const MAX_ROWS: usize = 2 * MAX_KEYS;

/// A key in the vault.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) sha256: String,
    pub(crate) facts: ApiKeyFacts,
}

/// The keys that the log says there are, with the hashes that it commits to. What else the vault has is
/// taken away.
pub(crate) async fn load(parts: &Parts, damages: &Damages, sealed: bool) -> Result<ApiKeys, Error> {
    let corrupt = |_| StoreError::Corrupt("the record of an API key does not decode".into());
    let mut committed: HashMap<ApiKeyId, KeyCommitment> = HashMap::new();
    for (key, value) in rows_with_keys(parts, system::API_KEY_COMMITMENT).await? {
        if let Some(id) = id_of(system::API_KEY_COMMITMENT, &key) {
            committed.insert(id, serde_json::from_slice(&value).map_err(corrupt)?);
        }
    }
    let mut standing: HashMap<ApiKeyId, ApiKeyFacts> = HashMap::new();
    for row in rows(parts, system::API_KEY).await? {
        let facts: ApiKeyFacts = serde_json::from_slice(&row).map_err(corrupt)?;
        standing.insert(facts.id, facts);
    }
    let mut all = HashMap::new();
    let vault = parts.vault();
    for (key, value) in vault.list(PREFIX.as_bytes(), MAX_ROWS).await? {
        let known = id_of(PREFIX, &key).and_then(|id| standing.get(&id));
        let Some(facts) = known else {
            if is_over(&key, parts.clock.now()) {
                vault.remove(&[key]).await?;
            }
            continue;
        };
        let hash = stored_hash(&value);
        let commitment = facts.commitment.or_else(|| committed.get(&facts.id).copied());
        let fits = |hash: &KeyHash| match commitment {
            Some(commitment) => commitment == KeyCommitment::new(facts.id.as_bytes(), hash),
            // Of before commitments were on record; after the first start since then there are none.
            None => !sealed,
        };
        match hash.filter(fits) {
            Some(hash) => _ = all.insert(facts.id, (hash, Arc::new(facts.clone()))),
            None => damages.note(format!(
                "the hash of API key {} was changed by somebody else; the key is refused: revoke it, and make another",
                facts.id
            )),
        }
    }
    Ok(ApiKeys(RwLock::new(all)))
}

/// Whether no record will come any more of a key that the vault has: it was cut off, or somebody else wrote it. Either
/// way it opens nothing.
fn is_over(key: &[u8], now: UnixTime) -> bool {
    let made_at = |id: ApiKeyId| {
        let (time, _) = id.as_bytes().split_first_chunk::<6>()?;
        Some(UnixTime::from_millis(time.iter().fold(0, |all, octet| all << 8 | u64::from(*octet))))
    };
    id_of(PREFIX, key).and_then(made_at).is_none_or(|at| now.since(at) > HOUR)
}

fn stored_hash(value: &[u8]) -> Option<KeyHash> {
    let row: Row = serde_json::from_slice(value).ok()?;
    Some(KeyHash::from_bytes(hex_decode(&row.sha256)?))
}

fn id_of(prefix: &str, key: &[u8]) -> Option<ApiKeyId> {
    core::str::from_utf8(key).ok()?.strip_prefix(prefix)?.parse().ok()
}

/// Key of the row that keeps the hash of an API key.
pub(crate) fn row_key(id: &ApiKeyId) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}
