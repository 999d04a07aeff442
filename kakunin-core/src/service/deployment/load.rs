//! Reading a deployment back.

use std::collections::HashMap;
use std::sync::Arc;

use super::config::Config;
use super::genesis;
use crate::error::StoreError;
use crate::issue::Place;
use crate::key::Signer;
use crate::log::entry::LogId;
use crate::log::note::VerifierKey;
use crate::log::record::Control;
use crate::revoke::LiveRevocations;
use crate::risk::{Models, Prior};
use crate::service::engine::cas::{self, Ca, Cas};
use crate::service::engine::commits::Commits;
use crate::service::engine::damage::Damages;
use crate::service::engine::feed_key::FeedKey;
use crate::service::engine::heard::Heard;
use crate::service::engine::inner::Inner;
use crate::service::engine::lead::Lead;
use crate::service::engine::ledger::Ledger;
use crate::service::engine::on_record::OnRecord;
use crate::service::engine::origins::Origins;
use crate::service::engine::parts::Parts;
use crate::service::engine::payloads::SealedSink;
use crate::service::engine::recent::Recent;
use crate::service::engine::scopes::Scopes;
use crate::service::engine::seal::SealKey;
use crate::service::engine::sealed_rows::SealedState;
use crate::service::engine::secret::{TokenSecret, commitment_of};
use crate::service::engine::system;
use crate::service::engine::turns::Turns;
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::bound::BoundKeys;
use crate::service::state::serials::Serials;
use crate::service::state::settings::Settings;
use crate::service::state::system::known::Known;
use crate::x509::oid::Arc as Oids;

/// Reads the deployment back, and checks that configuration, store and keys belong together.
pub(crate) async fn load(config: Config, mut parts: Parts) -> Result<(Inner, FeedKey), Error> {
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
    let origins = Origins::stored(genesis::host_of(&public_url)?, &*parts.sink).await?;
    let log_signer = parts.log_keys.open(&log_key).await?;
    let seal_key = SealKey::derive(&*log_signer).await?;
    let payloads = SealedSink::between(&mut parts, &seal_key);
    SealedState::between(&mut parts, &seal_key);
    let mut system =
        Ledger::open(LogId::System, &origins, log_signer.clone(), &seal_key, &*parts.sink).await?;
    let began = VerifierKey::new(&origins.in_epoch(1).of(&LogId::System), log_signer.public_key())?;
    if began.to_string() != log_verifier {
        return Err(Error::Deployment("the log key is not the one that began the log".into()));
    }
    let damages = Damages::default();
    let known = Arc::new(Known::new(system::load(&parts, &mut system, &damages).await?));
    let feed_signer = parts.log_keys.open(&feed_key).await?;
    let feed_key = FeedKey::new(&feed_verifier, feed_signer)?;
    let arc = Oids::parse(&arc).map_err(|e| Error::Deployment(e.to_string()))?;
    let token_secret = secret(&parts, &known).await?;
    let first = first_authority(&parts, &origins, (&log_signer, &seal_key), &known).await?;
    let inner = Inner {
        settings: settings_of(&config),
        models: Models::of(parts.model.clone(), &parts.models),
        place: Place { trust_domain, public_url, arc },
        origins,
        cas: Cas::new(known.clone(), first.clone()),
        log_signer,
        seal_key,
        token_secret,
        lead: Lead::new(system.last_time(), &*parts.clock, config.believe_clock),
        scopes: Scopes::default(),
        on_record: OnRecord::default(),
        system: async_lock::Mutex::new(system),
        loaded: async_lock::RwLock::new(HashMap::new()),
        live: Arc::new(LiveRevocations::default()),
        serials: Serials::default(),
        bound: BoundKeys::default(),
        turns: Turns::default(),
        api_keys: ApiKeys::new(known.clone()),
        known,
        commits: Commits::default(),
        heard: Heard::since((!parts.duties.is_alone()).then(|| parts.clock.steady())),
        recent: Recent::default(),
        damages,
        payloads,
        parts,
    };
    inner.have_ready(first).await?;
    inner.open_authorities().await?;
    inner.look_at_api_keys(&mut *inner.system.lock().await).await?;
    Ok((inner, feed_key))
}

fn settings_of(config: &Config) -> Settings {
    Settings {
        policy: Arc::new(config.policy.clone()),
        prior: Prior::default(),
        renewal_grace: config.renewal_grace,
        certificate_retention: config.certificate_retention,
    }
}

/// Opens the one that issues for all tenants without their own: there is always one.
async fn first_authority(
    parts: &Parts,
    origins: &Origins,
    keys: (&Arc<dyn Signer>, &SealKey),
    known: &Known,
) -> Result<Arc<Ca>, Error> {
    let on_record =
        known.read(|state| (state.authorities.shared().cloned(), state.authorities.roots.clone()));
    let (first, roots) = on_record;
    let first = first.ok_or_else(|| StoreError::Corrupt("there is no issuing CA on record".into()))?;
    Ok(Arc::new(cas::open(parts, origins, keys, first, &roots).await?))
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

/// The secret of the vault; the one that is on record, if its commitment is.
async fn secret(parts: &Parts, known: &Known) -> Result<TokenSecret, Error> {
    let secret = TokenSecret(genesis::vault_seed(parts, parts.clock.now()).await?);
    let other = |sealed: &String| *sealed != commitment_of(&secret);
    if known.read(|state| state.sealed.as_ref().is_some_and(other)) {
        return Err(StoreError::Corrupt(
            "the vault's secret is not the one that is on record; restore that row from a backup".into(),
        )
        .into());
    }
    Ok(secret)
}
