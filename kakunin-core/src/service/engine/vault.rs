//! Hashes of join tokens in the vault.

use super::inner::Inner;
use crate::access::JoinTokenId;
use crate::id::{AgentId, TenantId};

/// A join token in the vault.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) sha256: String,
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
}

impl Inner {
    /// Forgets the hashes of tokens that open nothing more. A row that stays opens nothing either: the record says
    /// which token stands.
    pub(crate) async fn forget_join_tokens(&self, tokens: &[JoinTokenId]) {
        if tokens.is_empty() {
            return;
        }
        let gone: Vec<_> = tokens.iter().map(row_key).collect();
        let _ = self.parts.vault().remove(&gone).await;
    }
}

/// Key of the row that keeps the hash of a join token.
pub(crate) fn row_key(id: &JoinTokenId) -> Vec<u8> {
    format!("join-token/{id}").into_bytes()
}
