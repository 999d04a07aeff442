//! The beginning of a deployment: its secret, log and feed key, root and issuing CA, and the first records.

use std::sync::Arc;

use super::deployment::{Config, Parts};
use super::error::Error;
use super::ledger::Ledger;
use super::system;
use crate::brand::PRODUCT;
use crate::error::StoreError;
use crate::event::TokenKey;
use crate::id::{Serial, TenantId, uuid_v7};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, Signer};
use crate::log::note::VerifierKey;
use crate::log::record::{CaRole, Control, Record};
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::time::UnixTime;
use crate::x509::ca::{Issuer, prepare_issuing, prepare_root};
use crate::x509::name::NameParts;
use crate::x509::pem;

/// Row of the vault: what the keys of names are derived from, and under which ids the first keys are
/// planned.
const SECRET: &[u8] = b"secret";

/// What the token keys of tenants are derived from.
pub(super) struct TokenSecret(pub(super) [u8; 32]);

impl core::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

pub(super) fn tokens_of(secret: &TokenSecret, tenant: &TenantId) -> TokenKey {
    TokenKey::new(crate::log::leaf::commitment(&secret.0, tenant.as_str().as_bytes()))
}

/// Makes log key, feed key, root and issuing CA, and begins the system log with them, in one append.
pub(super) async fn create(config: &Config, parts: &Parts) -> Result<(), Error> {
    let now = parts.clock.now();
    let seed = vault_seed(parts, now).await?;
    let host = host_of(&config.public_url)?;
    let log = make_key(parts, &seed, 0, KeyAlgorithm::Ed25519).await?;
    let root = make_key(parts, &seed, 1, config.ca_algorithms.0).await?;
    let issuing = make_key(parts, &seed, 2, config.ca_algorithms.1).await?;
    let feed = make_key(parts, &seed, 3, KeyAlgorithm::Ed25519).await?;

    let name = |common_name| NameParts {
        organization: Some(PRODUCT),
        common_name: Some(common_name),
        ..NameParts::default()
    };
    let prepared = prepare_root(
        &name("kakunin root CA"),
        root.1.public_key(),
        &Serial::generate(&*parts.entropy)?,
        now,
    )?;
    let signature = root.1.sign(prepared.to_be_signed()).await?;
    let root_ca = prepared.assemble(&signature)?;
    let serial = Serial::generate(&*parts.entropy)?;
    let prepared =
        prepare_issuing(&root_ca, &name("kakunin issuing CA"), issuing.1.public_key(), &serial, now)?;
    let signature = root.1.sign(prepared.to_be_signed()).await?;
    let issuing_ca = prepared.assemble(&signature)?;

    let system = Ledger::open(LogId::System, &host, log.1, &*parts.sink).await?;
    let ca = |role, key: &KeyRef, issuer: &Issuer| Control::CaCreated {
        role,
        key: key.clone(),
        certificate: pem::encode(pem::CERTIFICATE, issuer.as_der()),
    };
    let controls = [
        Control::DeploymentCreated {
            trust_domain: config.trust_domain.clone(),
            public_url: config.public_url.clone(),
            arc: config.arc.clone(),
            log_key: log.0,
            log_verifier: system.key().to_string(),
            feed_verifier: VerifierKey::new(&format!("{host}/feed"), feed.1.public_key())?.as_cosigner(),
            feed_key: feed.0,
        },
        ca(CaRole::Root, &root.0, &root_ca),
        ca(CaRole::Issuing, &issuing.0, &issuing_ca),
    ];
    let records = controls.map(|c| Record::control(system.time(now), None, None, c));
    let changes = records.iter().map(system::changes).collect::<Result<Vec<_>, _>>()?.concat();
    let append = system.prepare(&records, changes.clone(), &[], &*parts.entropy).await?;
    let size = append.next.frontier.size();
    parts.sink.append(vec![append]).await?;
    parts.state.apply(&LogId::System, size, &changes).await?;
    Ok(())
}

type MadeKey = (KeyRef, Arc<dyn Signer>);

async fn make_key(
    parts: &Parts,
    seed: &[u8; 32],
    number: u8,
    algorithm: KeyAlgorithm,
) -> Result<MadeKey, Error> {
    // The same seed plans the same keys, so that a start that was cut off goes on with what it made.
    let digest = crate::log::leaf::commitment(seed, &[b'k', number]);
    let mut id = [0; 16];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    let key = parts.keys.generate(&PlannedKeyId::new(id), algorithm).await?;
    let signer = parts.keys.open(&key).await?;
    Ok((key, signer))
}

pub(super) async fn vault_seed(parts: &Parts, now: UnixTime) -> Result<[u8; 32], Error> {
    if let Some(stored) = parts.state.get(&LogId::System, Kind::Vault, SECRET).await? {
        return stored
            .try_into()
            .map_err(|_| StoreError::Corrupt("the vault's secret does not decode".into()).into());
    }
    let mut seed = [0; 32];
    parts.entropy.fill(&mut seed)?;
    // Time goes in so that a source of randomness that repeats itself does not repeat a deployment.
    let unique = uuid_v7(now, &*parts.entropy)?;
    let seed = crate::log::leaf::commitment(&seed, &unique);
    let value = Some(seed.to_vec());
    parts.state.put(&LogId::System, &[Change { kind: Kind::Vault, key: SECRET.to_vec(), value }]).await?;
    Ok(seed)
}

/// Host and port of the public URL, as origins of checkpoints begin with it.
pub(super) fn host_of(url: &str) -> Result<String, Error> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let fits = !rest.is_empty()
        && !url.ends_with('/')
        && url.len() <= 256
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:/[]".contains(&b));
    let host = rest.split('/').next().unwrap_or_default();
    if fits && !host.is_empty() {
        Ok(host.to_owned())
    } else {
        Err(Error::Deployment(format!(
            "public URL `{url}` is not http(s)://host[:port][/path] without a slash at its end"
        )))
    }
}
