//! A deployment: what it is, what it runs on, and opening it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::bound::BoundKeys;
use super::cas::Cas;
use super::crl::{RootCrls, Unwritten};
use super::damage::Damages;
use super::error::Error;
use super::feed::FeedKey;
use super::genesis::{self, TokenSecret};
use super::keys::ApiKeys;
use super::lead::Lead;
use super::ledger::{self, Ledger};
use super::seal::SealKey;
use super::status::Serials;
use super::system;
use super::tenant::Tenant;
use super::turns::Turns;
use super::{Inner, Kakunin, Policy};
use crate::brand::DEFAULT_ARC;
use crate::error::StoreError;
use crate::event::{ShortName, TokenKey};
use crate::id::{Entropy, SystemEntropy, TenantId, TrustDomain};
use crate::issue::{Place, may_issue};
use crate::key::{KeyAlgorithm, KeyProvider};
use crate::log::cosignature::CosignerKey;
use crate::log::note::VerifierKey;
use crate::log::record::Control;
use crate::log::sink::{AuditSink, LogId, Room};
use crate::revoke::{LiveRevocations, RevocationStore, Said};
use crate::risk::{Prior, RiskModel, Thresholds, Weighted};
use crate::state::StateStore;
use crate::store::Store;
use crate::time::{Clock, MINUTE, SystemClock, UnixTime};
use crate::x509::oid::Arc as Oids;

/// What a deployment is. The first three are fixed when it is made, and checked whenever it is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// Trust domain of the SPIFFE IDs.
    pub trust_domain: TrustDomain,
    /// URL under which CRLs and CA certificates will be served, without a slash at its end.
    pub public_url: String,
    /// Arc of the agent extensions.
    pub arc: String,
    /// Algorithms of the root and of the issuing CA, used when they are made.
    pub ca_algorithms: (KeyAlgorithm, KeyAlgorithm),
    /// A root that is kept elsewhere, with the issuing CA that it signed for this deployment. Used when the
    /// deployment is made; see [`Kakunin::request_first_issuing`].
    pub offline: Option<OfflineRoot>,
    /// Where the bands of the risk score begin.
    pub thresholds: Thresholds,
    /// How long a renewed certificate stands beside the one that replaces it, in milliseconds, unless that is used
    /// before; [`Config::RENEWAL_GRACE`] if not said otherwise. With 0 it is superseded in the append of the
    /// renewal, and an agent that never got the answer is left with nothing until it asks again.
    pub renewal_grace: u64,
}

/// A root whose key is not here, and what it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineRoot {
    /// Certificate of the root, DER.
    pub root: Vec<u8>,
    /// Certificate of the issuing CA, DER.
    pub issuing: Vec<u8>,
}

impl Config {
    /// Five minutes: time for an agent to notice that an answer was lost, and to ask again.
    pub const RENEWAL_GRACE: u64 = 5 * MINUTE;

    /// A deployment with an RSA-3072 root, an RSA-2048 issuing CA, the documentation arc, and
    /// `http://<trust domain>` as its public URL.
    ///
    /// # Errors
    /// [`Error::Agent`] if this is not a trust domain.
    pub fn new(trust_domain: &str) -> Result<Self, Error> {
        let trust_domain: TrustDomain = trust_domain.parse().map_err(crate::agent::AgentError::from)?;
        Ok(Self {
            public_url: format!("http://{trust_domain}"),
            trust_domain,
            arc: DEFAULT_ARC.to_owned(),
            ca_algorithms: (KeyAlgorithm::Rsa3072, KeyAlgorithm::Rsa2048),
            offline: None,
            thresholds: Thresholds::default(),
            renewal_grace: Self::RENEWAL_GRACE,
        })
    }
}

/// What a deployment runs on; each part can be replaced by another that keeps its contract.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Keeps the logs.
    pub sink: Arc<dyn AuditSink>,
    /// Keeps the revocations.
    pub revocations: Arc<dyn RevocationStore>,
    /// Keeps the other projections.
    pub state: Arc<dyn StateStore>,
    /// Makes and keeps keys of certificate authorities and agents.
    pub keys: Arc<dyn KeyProvider>,
    /// Makes and keeps the log key and the feed key, which sign with each append: a provider that is near.
    /// They are Ed25519, and apart from the CA.
    pub log_keys: Arc<dyn KeyProvider>,
    /// Judges events.
    pub model: Arc<dyn RiskModel>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// One store for everything, one provider for every key, the default model, the system's clock and
    /// randomness.
    pub fn new<S: Store + 'static>(store: S, keys: Arc<dyn KeyProvider>) -> Self {
        let store = Arc::new(store);
        Self {
            sink: store.clone(),
            revocations: store.clone(),
            state: store,
            log_keys: keys.clone(),
            keys,
            model: Arc::new(Weighted::default()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl Kakunin {
    /// Opens the deployment that these parts hold, or makes it if they are empty.
    ///
    /// # Errors
    /// [`Error::Deployment`] if store, keys and configuration are not of one deployment, and what the
    /// parts say.
    pub async fn open(config: Config, parts: Parts) -> Result<Self, Error> {
        let (head, _) = parts.sink.head(&LogId::System).await?;
        if head.frontier.size() == 0 {
            genesis::create(&config, &parts).await?;
        }
        let inner = load(config, parts).await?;
        for ca in inner.cas.all() {
            inner.load_revocations(&ca).await?;
            inner.lead.saw(ca.log.lock().await.last_time());
        }
        inner.load_root_crls().await?;
        let kakunin = Self { inner: Arc::new(inner), by: None, said: Said::default() };
        kakunin.begin_seals().await?;
        Ok(kakunin)
    }

    /// What the deployment that these parts hold was made as, if they hold one: trust domain, public URL
    /// and extension arc.
    ///
    /// # Errors
    /// What the store says.
    pub async fn made_as(parts: &Parts) -> Result<Option<(TrustDomain, String, String)>, Error> {
        let (head, _) = parts.sink.head(&LogId::System).await?;
        if head.frontier.size() == 0 {
            return Ok(None);
        }
        match system::first_record(parts).await? {
            Control::DeploymentCreated { trust_domain, public_url, arc, .. } => {
                Ok(Some((trust_domain, public_url, arc)))
            }
            _ => Err(StoreError::Corrupt("the deployment's record is of another kind".into()).into()),
        }
    }

    /// Whether store and keys can be used now: the head of the log is read, and the log key signs.
    ///
    /// # Errors
    /// What they say.
    pub async fn check(&self) -> Result<(), Error> {
        let inner = &self.inner;
        inner.parts.sink.head(&LogId::System).await?;
        inner.log_signer.sign(b"kakunin: are you there?").await?;
        Ok(())
    }

    /// How much room the store has. While there is none, what takes trust away goes on all the same, if room was set aside
    /// for that; events are recorded if they take an identity away, and everything else is refused as `storage_full`.
    pub async fn room(&self) -> Room {
        self.inner.parts.sink.room().await
    }

    /// Whether the CA can issue now: it is valid, and its key signs. Without it nothing is issued, and with no key no
    /// CRL is made; everything else goes on.
    ///
    /// # Errors
    /// [`Error::Issue`] if it has ended; what the key provider says.
    pub async fn check_signing(&self) -> Result<(), Error> {
        let ca = self.inner.cas.current();
        may_issue(&ca.issuer, self.inner.now())?;
        ca.signer.sign(b"kakunin: are you there?").await?;
        Ok(())
    }

    /// The same deployment, whose records from here on say that `who` asked for them, and whose events are
    /// `who`'s: see [`Kakunin::observe_all`].
    #[must_use]
    pub fn acting_as(&self, who: ShortName) -> Self {
        Self { by: Some(who), ..self.clone() }
    }

    /// The same deployment; what is revoked, held, halted or retired through it carries these words on record.
    #[must_use]
    pub fn saying(&self, said: Said) -> Self {
        Self { said, ..self.clone() }
    }

    /// Where the bands of the risk score begin.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        self.inner.policy.thresholds
    }

    /// The tenants of this deployment, in the order of their names.
    pub async fn tenants(&self) -> Vec<TenantId> {
        let mut ids: Vec<_> = self.inner.tenants.read().await.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Makes a tenant, if it is not there yet.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_tenant(&self, tenant: &TenantId) -> Result<(), Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        if inner.tenants.read().await.contains_key(tenant) {
            return Ok(());
        }
        inner.settle_system(&mut system).await?;
        let control = Control::TenantCreated { tenant: tenant.clone() };
        inner.append_system(&mut system, control, self.by.clone()).await?;
        inner.tenants.write().await.insert(tenant.clone(), None);
        Ok(())
    }
}

impl Inner {
    pub(super) fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    pub(super) fn tokens_of(&self, tenant: &TenantId) -> TokenKey {
        genesis::tokens_of(&self.token_secret, tenant)
    }

    pub(super) fn log_key(&self, log: &LogId) -> Result<VerifierKey, Error> {
        Ok(VerifierKey::new(&ledger::origin(&self.host, log), self.log_signer.public_key())?)
    }

    pub(super) async fn ledger(&self, log: LogId) -> Result<Ledger, Error> {
        let ledger =
            Ledger::open(log, &self.host, self.log_signer.clone(), &self.seal_key, &*self.parts.sink).await?;
        self.lead.saw(ledger.last_time());
        Ok(ledger)
    }

    /// A tenant, loaded when it is first asked for.
    pub(super) async fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, Error> {
        match self.tenants.read().await.get(id) {
            None => return Err(Error::NotFound("tenant")),
            Some(Some(tenant)) => return Ok(tenant.clone()),
            Some(None) => {}
        }
        let mut tenants = self.tenants.write().await;
        if let Some(Some(tenant)) = tenants.get(id) {
            return Ok(tenant.clone());
        }
        let tenant = Arc::new(Tenant::load(self, id.clone()).await?);
        self.sweep(&tenant).await?;
        tenants.insert(id.clone(), Some(tenant.clone()));
        Ok(tenant)
    }

    /// Ends what a crash cut off: issuances under way, and keys that were to be disabled.
    async fn sweep(&self, tenant: &Tenant) -> Result<(), Error> {
        let cut_off: Vec<_> = {
            let sequencer = tenant.sequencer.lock().await;
            let planned = sequencer.projection.agents.iter().filter(|(_, e)| e.row.plan.is_some());
            planned.map(|(id, _)| *id).collect()
        };
        for agent in cut_off {
            match self.abandon(tenant, agent).await {
                // The next start, or whoever certifies the agent, does it: nobody else has to wait for room.
                Err(Error::Store(StoreError::Full)) => break,
                abandoned => abandoned?,
            };
        }
        // Neither a store that is full nor a provider that is down must keep the tenant from being served: both are
        // tried again, by whoever tends.
        let _ = self.end_due_graces(tenant).await;
        self.run_key_tasks(tenant).await;
        if tenant.has_tasks.load(Ordering::Acquire) {
            // How many is known once they were looked at: nobody should take it for none until then.
            self.tended.lock().unwrap_or_else(PoisonError::into_inner).left += 1;
        }
        Ok(())
    }
}

/// Reads the deployment back, and checks that configuration, store and keys belong together.
async fn load(config: Config, parts: Parts) -> Result<Inner, Error> {
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
    for (what, found, wanted) in [
        ("trust domain", trust_domain.as_str(), config.trust_domain.as_str()),
        ("public URL", public_url.as_str(), config.public_url.as_str()),
        ("extension arc", arc.as_str(), config.arc.as_str()),
    ] {
        if found != wanted {
            return Err(Error::Deployment(format!(
                "its {what} is `{found}`, the configuration says `{wanted}`"
            )));
        }
    }
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
    let feed_key = FeedKey::new(CosignerKey::parse(&feed_verifier)?, feed_signer)?;
    let cas = Cas::load(&parts, &host, &log_signer, &seal_key).await?;
    let arc = Oids::parse(&arc).map_err(|e| Error::Deployment(e.to_string()))?;
    let token_secret = TokenSecret(genesis::vault_seed(&parts, parts.clock.now()).await?);
    let sealed = system::sealed(&parts).await?;
    if sealed.as_ref().is_some_and(|sealed| *sealed != genesis::commitment_of(&token_secret)) {
        return Err(StoreError::Corrupt(
            "the vault's secret is not the one that is on record; restore that row from a backup".into(),
        )
        .into());
    }
    let inner = Inner {
        policy: Policy {
            thresholds: config.thresholds,
            prior: Prior::default(),
            renewal_grace: config.renewal_grace,
        },
        place: Place { trust_domain, public_url, arc },
        host,
        feed_verifier,
        feed_key,
        cas,
        log_signer,
        seal_key,
        sealed: AtomicBool::new(sealed.is_some()),
        checking: async_lock::Mutex::default(),
        token_secret,
        lead: Lead::new(system.last_time()),
        system: async_lock::Mutex::new(system),
        tenants: async_lock::RwLock::new(HashMap::new()),
        live: Arc::new(LiveRevocations::default()),
        serials: Serials::default(),
        bound: BoundKeys::default(),
        turns: Turns::default(),
        api_keys: ApiKeys::load(&parts, &damages, sealed.is_some()).await?,
        damages,
        root_crls: RootCrls::default(),
        unwritten: Unwritten::default(),
        publishing: std::sync::Mutex::default(),
        tended: std::sync::Mutex::default(),
        parts,
    };
    let tenants = system::tenants(&inner.parts).await?;
    inner.tenants.write().await.extend(tenants.into_iter().map(|id| (id, None)));
    Ok(inner)
}
