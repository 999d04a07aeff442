//! Roots of full tiles are stored as the log grows, so that proofs of old records cost what those of new ones do.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::Hash;
use crate::log::subtrees::Subtree;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::nodes::{Nodes, WIDTH, row};
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::store::state::{Change, Kind};
use crate::time::{MINUTE, SECOND};

/// Stores the roots of full tiles.
pub(super) struct Tiles;

/// Its name.
const TILES: &str = "tiles";
/// Rows that are written at once.
const ROWS: usize = 64;
/// Levels of tiles above the leaves; the last is one tile of 2^64 leaves.
const LEVELS: u8 = 7;
/// Rows that are taken away at once.
const GONE: usize = 1_000;
/// The row that says how far each level has come. No level is 0 but the leaves', which are no rows.
const PROGRESS: &[u8] = &[0];

#[async_trait]
impl Follower for Tiles {
    fn name(&self) -> &'static str {
        TILES
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn at_once(&self) -> usize {
        2
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND / 4, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let size = running.commits.size(log);
        let kept = turn.memory.kept.take().and_then(|kept| kept.downcast::<Vec<u64>>().ok());
        let mut done = match kept {
            Some(done) => *done,
            None => running.tiles_done(log).await?,
        };
        for (level, have) in (1..=LEVELS).zip(0..) {
            let want = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            let Some(mut at) = done.get(have).map(|at| (*at).min(want)) else { break };
            while at < want {
                let end = want.min(at + u64::try_from(ROWS).unwrap_or(u64::MAX));
                let mut rows = running.tile_rows(log, (level, at..end), size).await?;
                at = end;
                if let Some(have) = done.get_mut(have) {
                    *have = at;
                }
                rows.push(progress(&done));
                running.parts.state.put(log, &rows).await?;
                turn.found(usize::try_from(want - at).unwrap_or(usize::MAX));
                turn.goes_on(running.now(), (at * WIDTH).min(size));
            }
        }
        turn.goes_on(running.now(), size);
        turn.left = 0;
        turn.memory.kept = Some(Box::new(done));
        Ok(())
    }
}

fn progress(done: &[u64]) -> Change {
    let value = done.iter().flat_map(|at| at.to_be_bytes()).collect();
    Change { kind: Kind::Tile, key: PROGRESS.to_vec(), value: Some(value) }
}

impl Running {
    /// How many rows of each level there are.
    async fn tiles_done(&self, log: &LogId) -> Result<Vec<u64>, StoreError> {
        let row = self.parts.state.get(log, Kind::Tile, PROGRESS).await?.unwrap_or_default();
        let mut done: Vec<_> = row.as_chunks::<8>().0.iter().map(|at| u64::from_be_bytes(*at)).collect();
        done.resize(usize::from(LEVELS), 0);
        Ok(done)
    }

    async fn tile_rows(
        &self,
        log: &LogId,
        (level, indices): (u8, std::ops::Range<u64>),
        size: u64,
    ) -> Result<Vec<Change>, StoreError> {
        let nodes = Nodes::new(&self.parts, log, size);
        let mut rows = Vec::with_capacity(ROWS + 1);
        for index in indices {
            // Reading them takes a while.
            yield_now().await;
            let root = match self.appended_root(log, level, index) {
                Some(root) => root,
                None => nodes.tile_root(level - 1, index).await?,
            };
            rows.push(row(level, index, root));
        }
        Ok(rows)
    }

    /// From memory, if the last leaf of the tile was appended just now.
    fn appended_root(&self, log: &LogId, level: u8, index: u64) -> Option<Hash> {
        let subtree = Subtree { level: level * 8, index };
        let end = subtree.leaves()?.end;
        self.recent.with(log, &(end - 1..end))?.root(subtree)
    }

    /// Takes away all rows of a log, of which one was found wrong: they are made anew.
    pub(crate) async fn forget_tiles(&self, log: &LogId) -> Result<(), StoreError> {
        let unit = self.units.of(TILES, log, &self.commits);
        let mut memory = unit.turn.lock().await;
        memory.kept = None;
        loop {
            let rows = self.parts.state.scan(log, Kind::Tile, None, GONE).await?;
            let gone = |(key, _): &(Vec<u8>, _)| Change { kind: Kind::Tile, key: key.clone(), value: None };
            let changes: Vec<_> = rows.iter().map(gone).collect();
            self.parts.state.put(log, &changes).await?;
            if rows.len() < GONE {
                unit.hurry();
                return Ok(());
            }
        }
    }
}
