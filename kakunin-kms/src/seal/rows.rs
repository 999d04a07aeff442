//! What lies in the vault of a key.
//!
//! ```text
//! seal/<planned id>            01 || PKCS#8, sealed for `kakunin:1:seal/<planned id>`
//! seal/<planned id>/disabled   01, while the key is disabled
//! seal/<planned id>/retired    01, for ever; the key's row is gone
//! ```
//!
//! How a key stands is in rows of its own: each is set or removed by one call, whatever other servers do meanwhile,
//! and nothing takes a retirement back. Whoever can write to the vault can take rows away, as they can keys.

use std::collections::BTreeMap;

use kakunin_core::error::StoreError;
use kakunin_core::key::{KeyAlgorithm, PlannedKeyId};
use kakunin_core::store::vault::Vault;

use super::contract::{Seal, SealError};
use crate::local::keys::{Pkcs8, Private};

const PREFIX: &str = "seal/";
const DISABLED: &str = "/disabled";
const RETIRED: &str = "/retired";
const VERSION: u8 = 1;
/// What a mark keeps.
pub(super) const MARK: &[u8] = &[VERSION];
/// Rows that are asked for first.
const STEP: usize = 1_024;

/// Names of the rows of a key.
pub(super) struct Names {
    pub(super) key: Vec<u8>,
    pub(super) disabled: Vec<u8>,
    pub(super) retired: Vec<u8>,
}

/// A key as the vault has it.
pub(super) struct Row {
    pub(super) key: Option<Vec<u8>>,
    pub(super) disabled: bool,
    pub(super) retired: bool,
}

impl Names {
    pub(super) fn of(planned: &PlannedKeyId) -> Self {
        let name = |end: &str| format!("{PREFIX}{planned}{end}").into_bytes();
        Self { key: name(""), disabled: name(DISABLED), retired: name(RETIRED) }
    }

    /// The rows, in one call.
    pub(super) async fn read(&self, vault: &dyn Vault) -> Result<Row, StoreError> {
        let names = [self.key.clone(), self.disabled.clone(), self.retired.clone()];
        let mut found = vault.get_all(&names).await?.into_iter();
        let mut next = || found.next().flatten();
        Ok(Row { key: next(), disabled: next().is_some(), retired: next().is_some() })
    }
}

/// Every key that is not retired.
pub(super) async fn standing(vault: &dyn Vault) -> Result<Vec<PlannedKeyId>, StoreError> {
    let mut limit = STEP;
    let rows = loop {
        let rows = vault.list(PREFIX.as_bytes(), limit).await?;
        if rows.len() < limit {
            break rows;
        }
        limit = limit.saturating_mul(2);
    };
    let mut stands = BTreeMap::new();
    for (name, _) in rows {
        let Some(name) = std::str::from_utf8(&name).ok().and_then(|n| n.strip_prefix(PREFIX)) else {
            continue;
        };
        // A key's row comes before its marks.
        if let Some(planned) = PlannedKeyId::parse(name) {
            stands.insert(planned, true);
        } else if let Some(planned) = name.strip_suffix(RETIRED).and_then(PlannedKeyId::parse) {
            stands.insert(planned, false);
        }
    }
    Ok(stands.into_iter().filter_map(|(planned, stands)| stands.then_some(planned)).collect())
}

/// What is bound to a key's row: another's row does not open in its place.
fn context(planned: &PlannedKeyId) -> Vec<u8> {
    format!("kakunin:{VERSION}:{PREFIX}{planned}").into_bytes()
}

/// A key's row.
pub(super) async fn sealed(
    seal: &dyn Seal,
    planned: &PlannedKeyId,
    pkcs8: &Pkcs8,
) -> Result<Vec<u8>, SealError> {
    let sealed = seal.seal(&context(planned), pkcs8).await?;
    Ok([&[VERSION], &sealed[..]].concat())
}

/// The key of a row.
pub(super) async fn opened(
    seal: &dyn Seal,
    planned: &PlannedKeyId,
    row: &[u8],
) -> Result<(Private, Pkcs8), SealError> {
    let sealed = match row.split_first() {
        Some((&VERSION, sealed)) => sealed,
        Some((later, _)) if *later > VERSION => {
            return Err(SealError::Unusable("a key was sealed by a later version; run that one".to_owned()));
        }
        _ => return Err(SealError::Wrong),
    };
    let pkcs8 = seal.open(&context(planned), sealed).await?;
    let private = Private::from_pkcs8(KeyAlgorithm::Ed25519, &pkcs8).map_err(|_| SealError::Wrong)?;
    Ok((private, pkcs8))
}
