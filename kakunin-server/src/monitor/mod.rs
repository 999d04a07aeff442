//! `kakunin monitor`: issues a canary, takes its certificate away, and times who refuses it when. From outside,
//! by the public API, as relying parties see it.
//!
//! | file | does |
//! |---|---|
//! | `canary.rs` | the agent that is there to be revoked |
//! | `consumer.rs`, `consumers.rs` | who has to learn of it, one entry each |
//! | `feed.rs` | one of them, which follows the revocation feed |
//! | `http.rs` | requests, by a client that is no part of the deployment |
//! | `options.rs`, `error.rs` | what to monitor; why nothing was measured |
//! | `report.rs` | what was measured, as a table or JSON |
//! | `textfile.rs` | the same for Prometheus |

mod canary;
mod consumer;
mod consumers;
mod error;
mod feed;
mod http;
mod options;
mod report;
pub mod textfile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use canary::{Api, Canary};
use consumer::Consumer;
pub use error::MonitorError;
pub use options::Options;
use options::PAUSE;
pub use report::{Measured, Report};

/// Measures once, and retires the canary whatever happens.
///
/// # Errors
/// [`MonitorError`] if nothing could be measured; a consumer that is late is in the report.
pub async fn run(options: &Options) -> Result<Report, MonitorError> {
    let api = Api::new(options, http::Http::new(options.ca.as_deref())?)?;
    let canary = Arc::new(Canary::hatch(&api).await?);
    let measured = measure(options, &api, &canary).await;
    let retired = canary.retire(&api).await;
    let report = measured?;
    retired?;
    Ok(report)
}

async fn measure(options: &Options, api: &Api, canary: &Arc<Canary>) -> Result<Report, MonitorError> {
    let consumers = consumers::all(options, api, canary).await?;
    for consumer in &consumers {
        if consumer.refuses(api, canary).await? {
            return Err(MonitorError::Beforehand(consumer.name()));
        }
    }
    canary.revoke(api, options.by_score).await?;
    let revoked = Instant::now();
    let watch = |consumer| tokio::spawn(watch(consumer, api.clone(), canary.clone(), revoked, options.bound));
    let watched: Vec<_> = consumers.into_iter().map(watch).collect();
    let mut measured = Vec::with_capacity(watched.len());
    for one in watched {
        measured.push(one.await.map_err(std::io::Error::other)?);
    }
    Ok(Report { serial: canary.serial, bound: options.bound, measured })
}

/// Asks a consumer until it refuses, or its time is over. One that does not answer has not refused.
async fn watch(
    consumer: Box<dyn Consumer>,
    api: Api,
    canary: Arc<Canary>,
    revoked: Instant,
    bound: Duration,
) -> Measured {
    loop {
        let refuses = consumer.refuses(&api, &canary).await.unwrap_or(false);
        let after = revoked.elapsed();
        if refuses || after > bound {
            let after = (refuses && after <= bound).then_some(after);
            return Measured { consumer: consumer.name(), after };
        }
        tokio::time::sleep(PAUSE).await;
    }
}
