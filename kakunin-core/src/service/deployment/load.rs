//! Reading a deployment back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::config::Config;
use super::genesis;
use crate::error::StoreError;
use crate::issue::Place;
use crate::log::entry::LogId;
use crate::log::record::Control;
use crate::revoke::LiveRevocations;
use crate::risk::Prior;
use crate::service::engine::cas::Cas;
use crate::service::engine::damage::Damages;
use crate::service::engine::feed_key::FeedKey;
use crate::service::engine::inner::Inner;
use crate::service::engine::lead::Lead;
use crate::service::engine::ledger::Ledger;
use crate::service::engine::parts::Parts;
use crate::service::engine::scopes::Scopes;
use crate::service::engine::seal::SealKey;
use crate::service::engine::secret::{TokenSecret, commitment_of};
use crate::service::engine::turns::Turns;
use crate::service::engine::{api_keys, system};
use crate::service::error::Error;
use crate::service::state::policy::Policy;
use crate::service::state::serials::Serials;
use crate::x509::oid::Arc as Oids;

/// Reads the deployment back, and checks that configuration, store and keys belong together.
pub(crate) async fn load(config: Config, parts: Parts) -> Result<(Inner, FeedKey), Error> {
    let made = system::first_record(&parts).await?;
    let Control::DeploymentCreated {
        trust_domain,
        public_url,
        arc,
        log_key,
        log_verifier,
        feed_key,
        feed_verifier,
    } = made
    else {
        return Err(StoreError::Corrupt("the deployment's record is of another kind".into()).into());
    };
    agrees(&config, [trust_domain.as_str(), public_url.as_str(), arc.as_str()])?;
    let host = genesis::host_of(&public_url)?;
    let log_signer = parts.log_keys.open(&log_key).await?;
    let seal_key = SealKey::derive(&*log_signer).await?;
    let mut system = Ledger::open(LogId::System, &host, log_signer.clone(), &seal_key, &*parts.sink).await?;
    if system.key().to_string() != log_verifier {
        return Err(Error::Deployment("the log key is not the one that began the log".into()));
    }
    let damages = Damages::default();
    system::load(&parts, &mut system, &damages).await?;
    let feed_signer = parts.log_keys.open(&feed_key).await?;
    let feed_key = FeedKey::new(&feed_verifier, feed_signer)?;
    let cas = Cas::load(&parts, &host, &log_signer, &seal_key).await?;
    let arc = Oids::parse(&arc).map_err(|e| Error::Deployment(e.to_string()))?;
    let (token_secret, sealed) = secret(&parts).await?;
    let inner = Inner {
        policy: Policy {
            thresholds: config.thresholds,
            prior: Prior::default(),
            renewal_grace: config.renewal_grace,
        },
        place: Place { trust_domain, public_url, arc },
        host,
        cas,
        log_signer,
        seal_key,
        sealed: AtomicBool::new(sealed),
        token_secret,
        lead: Lead::new(system.last_time()),
        scopes: Scopes::default(),
        system: async_lock::Mutex::new(system),
        tenants: async_lock::RwLock::new(HashMap::new()),
        live: Arc::new(LiveRevocations::default()),
        serials: Serials::default(),
        bound: Arc::default(),
        turns: Turns::default(),
        api_keys: api_keys::load(&parts, &damages, sealed).await?,
        damages,
        parts,
    };
    let tenants = system::tenants(&inner.parts).await?;
    inner.tenants.write().await.extend(tenants.into_iter().map(|id| (id, None)));
    Ok((inner, feed_key))
}

/// Whether trust domain, public URL and arc, as they are on record, are those of the configuration.
fn agrees(config: &Config, recorded: [&str; 3]) -> Result<(), Error> {
    let wanted = [
        ("trust domain", config.trust_domain.as_str()),
        ("public URL", config.public_url.as_str()),
        ("extension arc", config.arc.as_str()),
    ];
    let mut both = recorded.into_iter().zip(wanted);
    let other = both.find(|(found, (_, wanted))| found != wanted);
    other.map_or(Ok(()), |(found, (what, wanted))| {
        Err(Error::Deployment(format!("its {what} is `{found}`, the configuration says `{wanted}`")))
    })
}

/// The secret of the vault, and whether its commitment is on record.
async fn secret(parts: &Parts) -> Result<(TokenSecret, bool), Error> {
    let secret = TokenSecret(genesis::vault_seed(parts, parts.clock.now()).await?);
    let sealed = system::sealed(parts).await?;
    if sealed.as_ref().is_some_and(|sealed| *sealed != commitment_of(&secret)) {
        return Err(StoreError::Corrupt(
            "the vault's secret is not the one that is on record; restore that row from a backup".into(),
        )
        .into());
    }
    Ok((secret, sealed.is_some()))
}
