//! What the check needs beside the deployment.

use std::sync::Arc;

use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::service::Kakunin;
use kakunin_core::time::UnixTime;
use kakunin_verify::possession::{Authorities, AuthorityError, Nonces};
use kakunin_verify::{Denied, SetupError, Verifier};
use quick_cache::sync::Cache;

use crate::http::options::ApiOptions;

/// Room for nonces, however high a rate is configured: about 1 GB.
const MOST_NONCES: usize = 16 * 1024 * 1024;

/// What the check needs beside the deployment.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(super) verifier: Verifier,
    pub(crate) nonces: Arc<Nonces>,
    /// Under which names agents reach this server.
    pub(super) us: Authorities,
    /// The day on which the owner of a serial number was told that somebody else uses it.
    pub(super) alerted: Arc<Cache<Serial, u64>>,
}

impl Gateway {
    pub(crate) fn new(kakunin: &Kakunin, options: &ApiOptions, now: UnixTime) -> Result<Self, SetupError> {
        let verifier = verifier(kakunin, now)?;
        let rate = usize::try_from(options.key_rate.get()).unwrap_or(usize::MAX);
        let capacity = Nonces::capacity_for(rate).clamp(Nonces::DEFAULT_CAPACITY, MOST_NONCES);
        // Signatures have seconds. Where nobody served before, nothing was used up before in this one.
        let since = if options.new_deployment { now.whole_secs() } else { now };
        let us = names(kakunin, options).unwrap_or_else(|error| {
            tracing::error!(%error, "no signed request is accepted: see --authority");
            Authorities::none()
        });
        let nonces = Arc::new(Nonces::new(capacity, since));
        Ok(Self { verifier, nonces, us, alerted: Arc::new(Cache::new(16_384)) })
    }

    /// The same under the names of these options. It remembers as many signed requests as before: what was used up
    /// stays so.
    pub(crate) fn reconfigured(
        &self,
        kakunin: &Kakunin,
        options: &ApiOptions,
    ) -> Result<Self, AuthorityError> {
        let (verifier, nonces, alerted) = (self.verifier.clone(), self.nonces.clone(), self.alerted.clone());
        Ok(Self { verifier, nonces, us: names(kakunin, options)?, alerted })
    }
}

/// The public URL's host, and whatever else the configuration names.
fn names(kakunin: &Kakunin, options: &ApiOptions) -> Result<Authorities, AuthorityError> {
    let public = kakunin.place().public_url.parse();
    if public.is_err() {
        tracing::warn!("the public URL names no host; agents sign for what --authority names");
    }
    let more = options.authorities.iter().cloned();
    Authorities::of(public.into_iter().chain(more).collect())
}

/// One that knows every authority of the deployment, also those to come.
fn verifier(kakunin: &Kakunin, now: UnixTime) -> Result<Verifier, SetupError> {
    let tell = |issuer: &IssuerId, why: &Denied| {
        tracing::error!(
            %issuer, error = %why,
            "an issuing CA cannot be relied on now, and its agents are refused until it can; see the clock, or replace it (kakunin ca rotate)"
        );
    };
    Verifier::following(kakunin.clone()).on_left_out(tell).build(now)
}
