//! Lists and searches have threads and a bound of their own, fair by tenant: whoever reads much keeps nobody waiting
//! who stops an agent, checks a request or follows revocations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kakunin_core::id::TenantId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::counts::LISTINGS_REFUSED;
use super::error::ApiError;

/// Calls of one tenant that wait or run.
const LINE: usize = 32;
/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(2);
/// When to come back, if there is no turn.
const RETRY_AFTER: u64 = 1;

/// Who lists now.
#[derive(Debug)]
pub(crate) struct Listings {
    threads: Arc<Semaphore>,
    /// How many of them one tenant has at once.
    share: usize,
    lines: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Default for Listings {
    /// Half as many threads as there are processors, at least two, of which a tenant has at most half.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (processors / 2).clamp(2, 8);
        Self { threads: Arc::new(Semaphore::new(threads)), share: threads / 2, lines: Mutex::default() }
    }
}

impl Listings {
    /// The turns of one tenant, which all that wait hold on to.
    fn line(&self, tenant: &TenantId) -> Option<Arc<Semaphore>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(tenant).and_then(Weak::upgrade) {
            return (Arc::strong_count(&line) <= LINE).then_some(line);
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Semaphore::new(self.share));
        lines.insert(tenant.clone(), Arc::downgrade(&line));
        Some(line)
    }

    /// Runs `work` on a thread of its own once it is this tenant's turn. A caller that goes away gives up its turn, or
    /// the answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Some(line) = self.line(tenant) else { return Err(busy(tenant)) };
        let threads = self.threads.clone();
        let turn = async { (line.clone().acquire_owned().await, threads.acquire_owned().await) };
        // The semaphores are never closed.
        let Ok((Ok(mine), Ok(thread))) = timeout(WAIT, turn).await else { return Err(busy(tenant)) };
        let held = (mine, thread, line);
        let listed = tokio::task::spawn_blocking(move || {
            let _held = held;
            pollster::block_on(work)
        });
        listed.await.unwrap_or_else(|_| Err(ApiError::internal()))
    }
}

fn busy(tenant: &TenantId) -> ApiError {
    if LISTINGS_REFUSED.count() {
        tracing::warn!(%tenant, "lists and searches are refused: the tenant has its share under way");
    }
    let sentence = "this tenant has its share of lists and searches under way; ask for less at once";
    ApiError::busy("listings_busy", sentence, RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_that_holds_its_share_keeps_no_other_from_its_turn() {
        let listings = Arc::new(Listings::default());
        let (one, other): (TenantId, TenantId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut held = Vec::new();
        for _ in 0..100 {
            let (listings, one, gate) = (listings.clone(), one.clone(), gate.clone());
            held.push(tokio::spawn(async move {
                let work = async move {
                    let _ = gate.lock().unwrap().recv();
                    Ok(())
                };
                listings.run(&one, work).await.is_ok()
            }));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(listings.run(&other, async { Ok(7) }).await.is_ok_and(|n| n == 7));
        drop(open);
        let mut done = 0;
        for call in held {
            done += usize::from(call.await.unwrap());
        }
        assert!((1..=LINE).contains(&done), "{done} of 100 had a place in the line");
        assert!(listings.run(&one, async { Ok(()) }).await.is_ok(), "the share is free again");
    }
}
