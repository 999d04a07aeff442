//! What the check needs beside the deployment.

use std::sync::{Arc, PoisonError, RwLock};

use kakunin_core::id::Serial;
use kakunin_core::service::Kakunin;
use kakunin_core::time::UnixTime;
use kakunin_verify::possession::{Authorities, AuthorityError, Nonces};
use kakunin_verify::{SetupError, TrustAnchor, Verifier};
use quick_cache::sync::Cache;

use crate::http::options::ApiOptions;

/// Room for nonces, however high a rate is configured: about 1 GB.
const MOST_NONCES: usize = 16 * 1024 * 1024;

/// What the check needs beside the deployment.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// With how many issuing CAs it was made.
    verifier: Arc<RwLock<(u32, Verifier)>>,
    pub(crate) nonces: Arc<Nonces>,
    /// Under which names agents reach this server.
    pub(super) us: Authorities,
    /// The day on which the owner of a serial number was told that somebody else uses it.
    pub(super) alerted: Arc<Cache<Serial, u64>>,
}

impl Gateway {
    pub(crate) fn new(kakunin: &Kakunin, options: &ApiOptions, now: UnixTime) -> Result<Self, SetupError> {
        let verifier = Arc::new(RwLock::new(verifier(kakunin, now)?));
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

    /// One that knows every authority of the deployment, also those that were made since the last call.
    pub(super) fn verifier(&self, kakunin: &Kakunin, now: UnixTime) -> Verifier {
        let known = self.verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.0 == kakunin.authorities_made() {
            return known.1;
        }
        // Without it, agents of the new authority are refused, and others are not.
        let fresh = verifier(kakunin, now).unwrap_or_else(|error| {
            tracing::error!(%error, "the new authority is not known to the gateway check; restart the server");
            (kakunin.authorities_made(), known.1)
        });
        self.verifier.write().unwrap_or_else(PoisonError::into_inner).clone_from(&fresh);
        fresh.1
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

fn verifier(kakunin: &Kakunin, now: UnixTime) -> Result<(u32, Verifier), SetupError> {
    // First the number: an authority that is made meanwhile is looked for once more.
    let (made, place) = (kakunin.authorities_made(), kakunin.place());
    let mut builder = Verifier::builder(kakunin.revocations()).arc(place.arc.clone());
    for root in kakunin.roots() {
        builder = builder.anchor(TrustAnchor::new(root.as_der(), place.trust_domain.clone())?);
    }
    for ca in kakunin.authorities().iter().filter(|ca| now <= ca.issuer.not_after()) {
        builder = match &ca.tenant {
            Some(tenant) => builder.issuer_of(ca.issuer.as_der(), tenant.clone()),
            None => builder.issuer(ca.issuer.as_der()),
        };
    }
    Ok((made, builder.build(now)?))
}
