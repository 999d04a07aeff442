//! What other processes over the store append, applied as it is heard of.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::running::Running;
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::time::SECOND;

/// Which log was read, and whether it is level.
type Read = (LogId, bool);

/// Logs that are being read, each once.
#[derive(Default)]
struct Reading<'r> {
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Read> + Send + 'r>>>,
    logs: HashSet<LogId>,
}

impl Running {
    /// Applies what other processes append, for as long as it is polled. What fails is tried again within a second.
    pub(super) async fn follow_others(&self) -> Infallible {
        let (mut reading, mut looked) = (Reading::default(), 0);
        let mut grown = self.parts.sink.grown();
        loop {
            let (logs, again) = match select(grown, Box::pin(reading.next())).await {
                Either::Left((logs, _)) => {
                    grown = self.parts.sink.grown();
                    let now = self.parts.clock.steady();
                    self.heard.hear(logs.clone(), now);
                    match now.saturating_sub(looked) < SECOND {
                        true => (logs, false),
                        false => {
                            looked = now;
                            (self.heard.sizes(), true)
                        }
                    }
                }
                Either::Right(((log, done), waiting)) => {
                    grown = waiting;
                    // It may have grown while it was read. What failed waits for the next second.
                    let more = done.then(|| (log.clone(), self.heard.size(&log)));
                    (more.into_iter().collect(), false)
                }
            };
            for (log, size) in logs {
                let lacks = self.lacks(&log, size) || again && self.is_unopened(&log);
                if lacks && reading.logs.insert(log.clone()) {
                    reading.under_way.push(Box::pin(async move {
                        // Whoever needs what it says reads it, too, and is told why that fails.
                        let done =
                            self.follow_log(&log, size).await.is_ok() && self.commits.size(&log) >= size;
                        (log, done)
                    }));
                }
            }
        }
    }

    /// Whether a log of which something is known here is longer than that.
    fn lacks(&self, log: &LogId, size: u64) -> bool {
        let followed = match log {
            LogId::System => true,
            LogId::Revocations(issuer) => self.cas.get(issuer).is_some(),
            LogId::Tenant(_) => self.loaded_now(log).is_some(),
        };
        followed && self.commits.size(log) < size
    }

    /// Whether something on record was not opened: whoever ordered something else read on before it was followed, or it could
    /// not be opened.
    fn is_unopened(&self, log: &LogId) -> bool {
        let unopened = || !self.api_keys.unknown().is_empty() || !self.cas.adopt(self.now()).is_empty();
        *log == LogId::System && unopened()
    }

    async fn follow_log(&self, log: &LogId, size: u64) -> Result<(), Error> {
        match log {
            LogId::System => {
                self.follow_system().await?;
                self.load_root_crls().await
            }
            LogId::Revocations(issuer) => match self.cas.get(issuer) {
                Some(ca) => self.follow_revocations(&ca, size).await,
                None => Ok(()),
            },
            LogId::Tenant(_) => match self.loaded(log).await {
                Some(tenant) => self.follow_tenant(&tenant, size).await,
                None => Ok(()),
            },
        }
    }
}

impl Reading<'_> {
    /// The next that was read, and whether it is level.
    async fn next(&mut self) -> Read {
        let (log, done) = poll_fn(|context| match self.under_way.poll_next_unpin(context) {
            Poll::Ready(Some(read)) => Poll::Ready(read),
            _ => Poll::Pending,
        })
        .await;
        self.logs.remove(&log);
        (log, done)
    }
}
