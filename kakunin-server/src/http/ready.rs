//! Whether store and keys work: looked at once for all who ask within a second, however it came out.

use std::time::Duration;

use kakunin_core::service::Kakunin;
use kakunin_core::time::{Clock, SECOND, UnixTime};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::{ApiError, chain};

/// How long store and keys may take to show that they work.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found last: whether the CA signs, or why nothing can be done.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Option<(UnixTime, Result<bool, ApiError>)>>);

impl Ready {
    /// What is found now, or was within this second. Asking keys to sign costs, and strangers may ask: whoever comes
    /// while it is looked waits for the same answer.
    pub(super) async fn look(&self, kakunin: &Kakunin, clock: &dyn Clock) -> Result<bool, ApiError> {
        let mut last = self.0.lock().await;
        if let Some((at, found)) = &*last
            && clock.now().millis().abs_diff(at.millis()) < SECOND
        {
            return found.clone();
        }
        let found = look(kakunin).await;
        *last = Some((clock.now(), found.clone()));
        found
    }
}

async fn look(kakunin: &Kakunin) -> Result<bool, ApiError> {
    if kakunin.is_out_of_touch() {
        return Err(ApiError::busy("storage_unavailable", "the database was not heard for too long", 5));
    }
    let silent = |_| ApiError::busy("storage_unavailable", "the store or the log key does not answer", 5);
    timeout(PATIENCE, kakunin.check()).await.map_err(silent)??;
    let signs = timeout(PATIENCE, kakunin.check_signing()).await;
    match &signs {
        Ok(Err(error)) => tracing::warn!(error = %chain(error), "the CA cannot sign"),
        Err(_) => tracing::warn!("the CA cannot sign: its key provider does not answer"),
        Ok(Ok(())) => {}
    }
    Ok(matches!(signs, Ok(Ok(()))))
}
