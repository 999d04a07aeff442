//! Rows, revocations and secrets.

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::engine::parts::Parts;
use crate::service::engine::scan::scan;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::store::state::{Change, Kind, StateView};
use crate::store::vault::Kept;

/// Rows at once.
const STEP: usize = 2_048;

/// Sets every row of a log but secrets, and says how many there are. Of an attempt that was cut off none is left over.
pub(super) async fn state(from: &Parts, to: &Parts, log: &LogId, resumed: bool) -> Result<u64, Error> {
    let (mut view, mut count) = (from.state.view(log).await?, 0);
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Vault) {
        if resumed {
            let gone = scan(to, log, kind).await?;
            let gone: Vec<_> = gone.into_iter().map(|(key, _)| Change { kind, key, value: None }).collect();
            for some in gone.chunks(STEP) {
                to.state.put(log, some).await?;
            }
        }
        count += copy(&mut *view, to, log, kind).await?;
    }
    to.state.apply(log, view.applied(), &[]).await?;
    Ok(count)
}

async fn copy(view: &mut dyn StateView, to: &Parts, log: &LogId, kind: Kind) -> Result<u64, StoreError> {
    let (mut last, mut count): (Option<Vec<u8>>, u64) = (None, 0);
    loop {
        let rows = view.scan(kind, last.as_deref(), STEP).await?;
        let Some((key, _)) = rows.last() else { return Ok(count) };
        last = Some(key.clone());
        count += u64::try_from(rows.len()).unwrap_or_default();
        let set = rows.into_iter().map(|(key, value)| Change { kind, key, value: Some(value) });
        to.state.put(log, &set.collect::<Vec<_>>()).await?;
        yield_now().await;
    }
}

/// What stands revoked of the issuer of this log, if it is one, as its store has it.
pub(super) async fn revocations(from: &Parts, to: &Parts, log: &LogId) -> Result<u64, Error> {
    let LogId::Revocations(issuer) = log else { return Ok(0) };
    let (mut standing, mut cursor) = (Vec::new(), 0);
    loop {
        let some = from.revocations.after(issuer, cursor, STEP).await?;
        let Some((last, _)) = some.last() else { break };
        cursor = last.saturating_add(1);
        standing.extend(some);
        yield_now().await;
    }
    let applied = from.revocations.applied(issuer).await?;
    to.revocations.replace(issuer, applied, &standing).await?;
    Ok(u64::try_from(standing.len()).unwrap_or_default())
}

/// Keeps every secret of the one vault in the other, too.
pub(super) async fn secrets(from: &Parts, to: &Parts) -> Result<u64, Error> {
    let (from, to) = (from.vault(), to.vault());
    let all: Vec<Kept> = from.list(b"", usize::MAX).await?;
    for some in all.chunks(STEP) {
        to.put_all(some).await?;
        yield_now().await;
    }
    Ok(u64::try_from(all.len()).unwrap_or_default())
}
