//! The beginning of a deployment: its secret, log and feed key, root and issuing CA, and the first records.

use std::sync::Arc;

use super::config::Config;
use super::offline::bound_to;
use crate::error::StoreError;
use crate::feed::feed_name;
use crate::id::{Serial, uuid_v7};
use crate::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, Signer};
use crate::log::cosignature::CosignerKey;
use crate::log::entry::LogId;
use crate::log::record::{CaRole, Control, Record};
use crate::service::command::system::authorities::created;
use crate::service::engine::ledger::Ledger;
use crate::service::engine::origins::Origins;
use crate::service::engine::parts::Parts;
use crate::service::engine::payloads::SealedSink;
use crate::service::engine::seal::SealKey;
use crate::service::engine::sealed_rows::SealedState;
use crate::service::engine::secret::{TokenSecret, commitment_of};
use crate::service::error::Error;
use crate::service::state::system::rows;
use crate::time::UnixTime;
use crate::x509::ca::{sign_issuing, sign_root};
use crate::x509::oid;
use crate::x509::published::Published;

/// Row of the vault: what the keys of names are derived from, and under which ids the first keys are
/// planned.
const SECRET: &[u8] = b"secret";

/// Makes log key, feed key, root and issuing CA, and begins the system log with them, in one append.
pub(crate) async fn create(config: &Config, mut parts: Parts) -> Result<(), Error> {
    let now = parts.clock.now();
    let seed = vault_seed(&parts, now).await?;
    let host = host_of(&config.public_url)?;
    let log = make_key(&*parts.log_keys, &seed, b"k\0", KeyAlgorithm::Ed25519).await?;
    let feed = make_key(&*parts.log_keys, &seed, b"k\x03", KeyAlgorithm::Ed25519).await?;
    let cas = authorities(config, &parts, &seed, now).await?;
    let seal_key = SealKey::derive(&*log.1).await?;
    SealedSink::between(&mut parts, &seal_key);
    SealedState::between(&mut parts, &seal_key);
    let system =
        Ledger::open(LogId::System, &Origins::first(host.clone()), log.1, &seal_key, &*parts.sink).await?;
    // Another process made it since it was looked for.
    if system.size() > 0 {
        return Ok(());
    }
    let mut controls = vec![Control::DeploymentCreated {
        trust_domain: config.trust_domain.clone(),
        public_url: config.public_url.clone(),
        arc: config.arc.clone(),
        log_key: log.0,
        log_verifier: system.key().to_string(),
        feed_verifier: CosignerKey::new(&feed_name(&host), feed.1.public_key())?.to_string(),
        feed_key: feed.0,
    }];
    controls.extend(cas);
    controls.push(Control::DeploymentSealed { secret: commitment_of(&TokenSecret(seed)) });
    let record = |control| Record::control(system.time(now), None, None, control);
    let records: Vec<_> = controls.into_iter().map(record).collect();
    let changes =
        (0..).zip(&records).map(|(n, r)| rows::changes(n, r)).collect::<Result<Vec<_>, _>>()?.concat();
    let mut append = system.prepare(&records, &[], &*parts.entropy).await?;
    let size = append.next.frontier.size();
    let changes: Arc<[_]> = system.rows.seal(changes, &append.next.frontier).changes.into();
    append.changes = changes.clone();
    match parts.sink.append(vec![append]).await {
        // Another process made it meanwhile, with the same keys.
        Err(StoreError::Conflict) => return Ok(()),
        made => made?,
    }
    parts.state.apply(&LogId::System, size, &changes).await?;
    Ok(())
}

/// Root and issuing CA: both made here, or as they were signed elsewhere for the key that is here.
async fn authorities(
    config: &Config,
    parts: &Parts,
    seed: &[u8; 32],
    now: UnixTime,
) -> Result<[Control; 2], Error> {
    let issuing = make_issuing_key(parts, seed, 0, config.ca_algorithms.1).await?;
    if let Some(offline) = &config.offline {
        let (root, issuer) = offline.checked(issuing.1.public_key(), now)?;
        let arc = oid::Arc::parse(&config.arc).map_err(|e| Error::Deployment(e.to_string()))?;
        bound_to(&issuer, None, &arc)?;
        return Ok([
            created(CaRole::Root, None, &root, None),
            created(CaRole::Issuing, Some(&issuing.0), &issuer, None),
        ]);
    }
    let root = make_root_key(parts, seed, 0, config.ca_algorithms.0).await?;
    let serial = Serial::generate(&*parts.entropy)?;
    let published = Published::parse(&config.public_url).map_err(|e| Error::Deployment(e.to_string()))?;
    let published = Some(&published);
    let root_ca = sign_root(&*root.1, &serial, published, now).await?;
    let serial = Serial::generate(&*parts.entropy)?;
    let issuing_key = issuing.1.public_key();
    let issuer = sign_issuing(&root_ca, &*root.1, issuing_key, &serial, None, published, now).await?;
    Ok([
        created(CaRole::Root, Some(&root.0), &root_ca, None),
        created(CaRole::Issuing, Some(&issuing.0), &issuer, None),
    ])
}

type MadeKey = (KeyRef, Arc<dyn Signer>);

/// The key of the issuing CA that is the `count`th, the first being 0.
pub(crate) async fn make_issuing_key(
    parts: &Parts,
    seed: &[u8; 32],
    count: usize,
    algorithm: KeyAlgorithm,
) -> Result<MadeKey, Error> {
    match u32::try_from(count).unwrap_or(u32::MAX) {
        0 => make_key(&*parts.keys, seed, b"k\x02", algorithm).await,
        n => make_key(&*parts.keys, seed, &[&b"i"[..], &n.to_be_bytes()].concat(), algorithm).await,
    }
}

/// The key of the root that is the `count`th, the first being 0.
pub(crate) async fn make_root_key(
    parts: &Parts,
    seed: &[u8; 32],
    count: usize,
    algorithm: KeyAlgorithm,
) -> Result<MadeKey, Error> {
    match u32::try_from(count).unwrap_or(u32::MAX) {
        0 => make_key(&*parts.keys, seed, b"k\x01", algorithm).await,
        n => make_key(&*parts.keys, seed, &[&b"r"[..], &n.to_be_bytes()].concat(), algorithm).await,
    }
}

async fn make_key(
    keys: &dyn KeyProvider,
    seed: &[u8; 32],
    label: &[u8],
    algorithm: KeyAlgorithm,
) -> Result<MadeKey, Error> {
    // The same seed plans the same keys, so that a start that was cut off goes on with what it made.
    let digest = crate::log::leaf::commitment(seed, label);
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    let key = keys.generate(&PlannedKeyId::new(id), algorithm).await?;
    let signer = keys.open(&key).await?;
    Ok((key, signer))
}

pub(crate) async fn vault_seed(parts: &Parts, now: UnixTime) -> Result<[u8; 32], Error> {
    let kept = |stored: Vec<u8>| {
        stored.try_into().map_err(|_| StoreError::Corrupt("the vault's secret does not decode".into()).into())
    };
    if let Some(stored) = parts.vault().get(SECRET).await? {
        return kept(stored);
    }
    let mut seed = [0; 32];
    parts.entropy.fill(&mut seed)?;
    // Time goes in so that a source of randomness that repeats itself does not repeat a deployment.
    let unique = uuid_v7(now, &*parts.entropy)?;
    let seed = crate::log::leaf::commitment(&seed, &unique);
    if parts.vault().put_new(SECRET, &seed).await? {
        return Ok(seed);
    }
    // Another process was quicker.
    let stored = parts.vault().get(SECRET).await?;
    kept(stored.ok_or_else(|| StoreError::Corrupt("the vault's secret is gone".into()))?)
}

/// Host and port of the public URL, as origins of checkpoints begin with it.
pub(crate) fn host_of(url: &str) -> Result<String, Error> {
    Ok(Published::parse(url).map_err(|error| Error::Deployment(error.to_string()))?.host().to_owned())
}
