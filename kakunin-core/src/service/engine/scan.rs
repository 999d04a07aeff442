//! Reading a table whole.

use super::parts::Parts;
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::state::{Kind, StateView};

/// Rows read at once.
const STEP: usize = 4_096;

/// Every row of a kind at the moment of a view, as it is stored.
pub(crate) async fn scan_view(
    view: &mut dyn StateView,
    kind: Kind,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.clone());
        let more = view.scan(kind, after.as_deref(), STEP).await?;
        let end = more.len() < STEP;
        rows.extend(more);
        if end {
            return Ok(rows);
        }
        yield_now().await;
    }
}

/// Every row of a kind, as it is stored.
pub(crate) async fn scan(
    parts: &Parts,
    log: &LogId,
    kind: Kind,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.clone());
        let more = parts.state.scan(log, kind, after.as_deref(), STEP).await?;
        let end = more.len() < STEP;
        rows.extend(more);
        if end {
            return Ok(rows);
        }
        yield_now().await;
    }
}
