//! What the check needs beside the deployment.

use std::sync::{Arc, PoisonError, RwLock};

use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::service::{Authority, Kakunin};
use kakunin_core::time::{SECOND, UnixTime};
use kakunin_verify::possession::{Authorities, AuthorityError, Nonces};
use kakunin_verify::{SetupError, TrustAnchor, Verifier};
use quick_cache::sync::Cache;

use crate::http::options::ApiOptions;

/// Room for nonces, however high a rate is configured: about 1 GB.
const MOST_NONCES: usize = 16 * 1024 * 1024;

/// How long an issuing CA that cannot be relied on is left out, in milliseconds, before it is looked at again.
const AGAIN: u64 = 30 * SECOND;

/// A verifier, and what it knows.
#[derive(Clone, Debug)]
struct Known {
    /// With how many issuing CAs it was made.
    made: u32,
    /// When it was made.
    at: UnixTime,
    /// CAs that cannot be relied on: the clock is behind their beginning, or that of their root.
    without: Vec<IssuerId>,
    verifier: Verifier,
}

/// What the check needs beside the deployment.
#[derive(Debug)]
pub(crate) struct Gateway {
    verifier: Arc<RwLock<Known>>,
    pub(crate) nonces: Arc<Nonces>,
    /// Under which names agents reach this server.
    pub(super) us: Authorities,
    /// The day on which the owner of a serial number was told that somebody else uses it.
    pub(super) alerted: Arc<Cache<Serial, u64>>,
}

impl Gateway {
    pub(crate) fn new(kakunin: &Kakunin, options: &ApiOptions, now: UnixTime) -> Result<Self, SetupError> {
        let verifier = Arc::new(RwLock::new(Known::new(kakunin, now, &[])?));
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
        if known.is_current(kakunin, now) {
            return known.verifier;
        }
        // Without it, agents of the new authority are refused, and others are not.
        let fresh = Known::new(kakunin, now, &known.without).unwrap_or_else(|error| {
            tracing::error!(%error, "the new authority is not known to the gateway check; restart the server");
            Known { made: kakunin.authorities_made(), at: now, ..known }
        });
        self.verifier.write().unwrap_or_else(PoisonError::into_inner).clone_from(&fresh);
        fresh.verifier
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

impl Known {
    /// `told` are those that the log was told of before.
    fn new(kakunin: &Kakunin, now: UnixTime, told: &[IssuerId]) -> Result<Self, SetupError> {
        // First the number: an authority that is made meanwhile is looked for once more.
        let (made, mut without) = (kakunin.authorities_made(), Vec::new());
        let mut authorities = kakunin.authorities();
        authorities.retain(|ca| now <= ca.issuer.not_after());
        loop {
            match verifier(kakunin, &authorities, now) {
                // Agents of one CA are refused for its sake, and not all of them, nor the start.
                Err(SetupError::Issuer(at, why)) if at < authorities.len() => {
                    let issuer = authorities.remove(at).issuer.id();
                    if !told.contains(&issuer) {
                        tracing::error!(
                            %issuer, error = %why,
                            "an issuing CA cannot be relied on now, and its agents are refused until it can; see the clock, or replace it (kakunin ca rotate)"
                        );
                    }
                    without.push(issuer);
                }
                built => return Ok(Self { made, at: now, without, verifier: built? }),
            }
        }
    }

    fn is_current(&self, kakunin: &Kakunin, now: UnixTime) -> bool {
        let lately = self.at <= now && now.since(self.at) < AGAIN;
        self.made == kakunin.authorities_made() && (self.without.is_empty() || lately)
    }
}

fn verifier(kakunin: &Kakunin, authorities: &[Authority], now: UnixTime) -> Result<Verifier, SetupError> {
    let place = kakunin.place();
    let mut builder = Verifier::builder(kakunin.revocations()).arc(place.arc.clone());
    for root in kakunin.roots() {
        builder = builder.anchor(TrustAnchor::new(root.as_der(), place.trust_domain.clone())?);
    }
    for ca in authorities {
        builder = match &ca.tenant {
            Some(tenant) => builder.issuer_of(ca.issuer.as_der(), tenant.clone()),
            None => builder.issuer(ca.issuer.as_der()),
        };
    }
    builder.build(now)
}
