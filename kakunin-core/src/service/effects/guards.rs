//! Keeping the newest checkpoints outside of the store.

use std::collections::HashMap;

use async_trait::async_trait;

use super::follower::Follower;
use super::running::{Kakunin, Running};
use super::unit::{Pace, Turn};
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::time::SECOND;

/// Writes the heads of the logs that grew, all at once: it lags by a second, and is never ahead of what is durable.
pub(super) struct Guards;

#[async_trait]
impl Follower for Guards {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        // All of them at once.
        Some(running.parts.guard.iter().map(|_| LogId::System).collect())
    }

    fn on_duty(&self) -> bool {
        // Each has its own.
        false
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: SECOND, longest: 30 * SECOND }
    }

    async fn step(&self, running: &Running, _: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        running.keep_guard().await?;
        // Of its time a twentieth, however many logs there are.
        let rest = running.now().since(turn.now).saturating_mul(20).max(SECOND);
        (turn.pace.rest, turn.pace.again) = (rest, rest);
        Ok(())
    }
}

impl Running {
    /// Has the guard keep the heads of all logs.
    pub(crate) async fn keep_guard(&self) -> Result<(), Error> {
        let Some(guard) = &self.parts.guard else { return Ok(()) };
        let mut guarding = self.guarding.lock().await;
        let first = guarding.sizes.is_empty();
        let grown = if first { self.parts.sink.logs().await? } else { self.grown(&guarding.sizes) };
        for log in grown {
            let (head, note) = self.parts.sink.head(&log).await?;
            if let Some(note) = note {
                guarding.kept.checkpoints.insert(log.to_string(), note);
                guarding.written = false;
            }
            guarding.sizes.insert(log, head.frontier.size());
        }
        if !guarding.written {
            guard.write(&guarding.kept.encode()?).await?;
            self.has_guard().await?;
            guarding.written = true;
        }
        Ok(())
    }

    fn grown(&self, known: &HashMap<LogId, u64>) -> Vec<LogId> {
        let sizes = self.commits.sizes().into_iter();
        sizes.filter(|(log, size)| known.get(log).copied().unwrap_or(0) < *size).map(|(log, _)| log).collect()
    }
}

impl Kakunin {
    /// Has the guard keep the heads of all logs now; a follower does each second. Nothing if there is none.
    ///
    /// # Errors
    /// What the guard or the store says.
    pub async fn keep_guard(&self) -> Result<(), Error> {
        self.inner.keep_guard().await
    }
}
