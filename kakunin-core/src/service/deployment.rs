//! Opening a deployment: what is there is checked to belong together, what is not there is made.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::Draft;
use super::error::Error;
use super::ledger::Ledger;
use super::projection::set;
use super::tenant::{Tenant, scan};
use super::{Ca, Inner, Kakunin, Policy};
use crate::brand::{DEFAULT_ARC, PRODUCT};
use crate::error::StoreError;
use crate::event::TokenKey;
use crate::id::{Entropy, Serial, SystemEntropy, TenantId, TrustDomain, uuid_v7};
use crate::issue::Place;
use crate::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, Signer};
use crate::log::record::{Body, CaRole, Control, Record};
use crate::log::sink::{AuditSink, LogId};
use crate::revoke::{LiveRevocations, RevocationChange, RevocationStore, RevokedSet};
use crate::risk::{Prior, RiskModel, Thresholds, Weighted};
use crate::state::{Change, Kind, StateStore};
use crate::store::Store;
use crate::time::{Clock, SystemClock, UnixTime};
use crate::x509::ca::{Issuer, prepare_issuing, prepare_root};
use crate::x509::name::NameParts;
use crate::x509::oid::Arc as Oids;
use crate::x509::pem;

/// What a deployment is. The first four are fixed when it is made, and checked whenever it is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// Trust domain of the SPIFFE IDs.
    pub trust_domain: TrustDomain,
    /// URL under which CRLs and CA certificates will be served, without a slash at its end.
    pub public_url: String,
    /// Arc of the agent extensions.
    pub arc: String,
    /// Algorithms of the root and of the issuing CA.
    pub ca_algorithms: (KeyAlgorithm, KeyAlgorithm),
    /// Where the bands of the risk score begin.
    pub thresholds: Thresholds,
}

impl Config {
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
            thresholds: Thresholds::default(),
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
    /// Makes and keeps keys.
    pub keys: Arc<dyn KeyProvider>,
    /// Judges events.
    pub model: Arc<dyn RiskModel>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// One store for everything, the default model, the system's clock and randomness.
    pub fn new<S: Store + 'static>(store: S, keys: Arc<dyn KeyProvider>) -> Self {
        let store = Arc::new(store);
        Self {
            sink: store.clone(),
            revocations: store.clone(),
            state: store,
            keys,
            model: Arc::new(Weighted::default()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// Rows of the system log's state.
const DEPLOYMENT: &[u8] = b"deployment";
const ROOT: &[u8] = b"root";
const ISSUING: &[u8] = b"issuing";
/// Vault: what the keys of names are derived from, and under which ids the first keys are planned.
const SECRET: &[u8] = b"secret";

/// What the token keys of tenants are derived from.
pub(super) struct TokenSecret([u8; 32]);

impl core::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenSecret(..)")
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
            create(&config, &parts).await?;
        }
        let inner = load(config, parts).await?;
        inner.load_revocations().await?;
        Ok(Self { inner: Arc::new(inner) })
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
        inner.append_system(&mut system, control).await?;
        inner.tenants.write().await.insert(tenant.clone(), None);
        Ok(())
    }
}

impl Inner {
    pub(super) fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    pub(super) fn tokens_of(&self, tenant: &TenantId) -> TokenKey {
        tokens_of(&self.token_secret, tenant)
    }

    pub(super) async fn ledger(&self, log: LogId) -> Result<Ledger, Error> {
        Ledger::open(log, &self.host, self.log_signer.clone(), &*self.parts.sink).await
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
            self.abandon(tenant, &agent).await?;
        }
        // A provider that is down must not keep the tenant from being served; the tasks stay.
        let _ = self.run_key_tasks(tenant).await;
        Ok(())
    }

    /// Decides under the tenant's sequencer, and makes it durable.
    pub(super) async fn decide<T>(
        &self,
        tenant: &Tenant,
        decision: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut sequencer = tenant.sequencer.lock().await;
        sequencer.settle(self).await?;
        let mut draft = sequencer.draft(self.now());
        let value = decision(&mut draft)?;
        let decided = draft.decided();
        sequencer.commit(self, decided).await?;
        Ok(value)
    }

    /// Appends to a tenant's log and, with revocations, to the issuer's in the same transaction; then
    /// brings the projections level, and tells the verifiers of this process.
    ///
    /// `ledger` stays unsettled: its caller settles it once what it keeps in memory is level too.
    /// `Ok(false)` means that the records are durable and the projection is not; it is when reloaded.
    pub(super) async fn append(
        &self,
        ledger: &mut Ledger,
        records: &[Record],
        changes: Vec<Change>,
        revocations: &[RevocationChange],
    ) -> Result<bool, Error> {
        let entropy = &*self.parts.entropy;
        let tenant_append = ledger.prepare(records, changes.clone(), &[], entropy).await?;
        if revocations.is_empty() {
            self.write(&mut [(ledger, tenant_append)]).await?;
        } else {
            let mut log = self.revocation_log.lock().await;
            self.settle_revocations(&mut log).await?;
            let first = log.size();
            let copies: Vec<_> = revocations.iter().map(|c| copy_of(c, log.time(self.now()))).collect();
            let copied = log.prepare(&copies, Vec::new(), revocations, entropy).await?;
            // Refused from the moment it is decided: if this call is dropped while it waits, verifiers err
            // on the side of refusing. What is released waits until it is written.
            revocations
                .iter()
                .filter(|c| matches!(c, RevocationChange::Revoked(_)))
                .for_each(|c| self.live.apply(c));
            if let Err(error) = self.write(&mut [(ledger, tenant_append), (&mut log, copied)]).await {
                self.load_live().await?;
                return Err(error);
            }
            revocations.iter().for_each(|change| self.live.apply(change));
            let indexed: Vec<_> = (first..).zip(revocations.iter().copied()).collect();
            if self.parts.revocations.apply(&self.ca.issuer.id(), &indexed).await.is_ok() {
                log.settled();
            }
        }
        Ok(self.parts.state.apply(ledger.log(), ledger.size(), &changes).await.is_ok())
    }

    async fn write(&self, appends: &mut [(&mut Ledger, crate::log::sink::Append)]) -> Result<(), Error> {
        let written = appends.iter().map(|(_, append)| append.clone()).collect();
        appends.iter_mut().for_each(|(ledger, _)| ledger.unsettled());
        match self.parts.sink.append(written).await {
            Ok(()) => {
                for (ledger, append) in appends {
                    ledger.appended(append.next.clone(), append.checkpoint.clone());
                }
                Ok(())
            }
            Err(StoreError::Full) => {
                // Certain: nothing was written, so memory is still what the store has.
                appends.iter_mut().for_each(|(ledger, _)| ledger.settled());
                Err(StoreError::Full.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn append_system(&self, system: &mut Ledger, control: Control) -> Result<(), Error> {
        let record = Record::control(system.time(self.now()), None, None, control);
        let changes = system_changes(&record)?;
        if self.append(system, &[record], changes, &[]).await? {
            system.settled();
        }
        Ok(())
    }

    /// Makes sure that the system log is what the store has, after a call that failed or was dropped.
    pub(super) async fn settle_system(&self, system: &mut Ledger) -> Result<(), Error> {
        if system.is_stale() {
            system.reload(&*self.parts.sink).await?;
            level_system(&self.parts).await?;
        }
        Ok(())
    }

    async fn load_revocations(&self) -> Result<(), Error> {
        let mut log = self.revocation_log.lock().await;
        log.unsettled();
        self.settle_revocations(&mut log).await
    }

    /// Makes sure that the revocation log, its projection and the live set agree.
    async fn settle_revocations(&self, log: &mut Ledger) -> Result<(), Error> {
        if log.is_stale() {
            log.reload(&*self.parts.sink).await?;
            log.unsettled();
            self.level_revocations(log).await?;
            self.load_live().await?;
            log.settled();
        }
        Ok(())
    }

    /// Makes the live set what the store has.
    async fn load_live(&self) -> Result<(), Error> {
        let issuer = self.ca.issuer.id();
        let mut entries = Vec::new();
        let mut cursor = 0;
        loop {
            let more = self.parts.revocations.after(&issuer, cursor, 65_536).await?;
            let Some((last, _)) = more.last() else { break };
            cursor = last + 1;
            entries.extend(more.into_iter().map(|(_, r)| (r.serial, r.cause.reason())));
        }
        self.live.replace(issuer, &RevokedSet::from_entries(entries));
        Ok(())
    }

    /// Applies what the revocation log has and the projection lacks.
    async fn level_revocations(&self, log: &Ledger) -> Result<(), Error> {
        let issuer = self.ca.issuer.id();
        let mut index = self.parts.revocations.applied(&issuer).await?;
        while index < log.size() {
            let entries = self.parts.sink.read(log.log(), index, 4_096).await?;
            let mut changes = Vec::new();
            for entry in &entries {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    changes.push((index, change));
                }
                index += 1;
            }
            if entries.is_empty() {
                return Err(StoreError::Corrupt("a revocation log ends before its head".into()).into());
            }
            self.parts.revocations.apply(&issuer, &changes).await?;
        }
        Ok(())
    }
}

fn copy_of(change: &RevocationChange, time: UnixTime) -> Record {
    let agent = match change {
        RevocationChange::Revoked(revocation) => Some(revocation.agent),
        RevocationChange::Released { .. } => None,
    };
    let (_, serial) = change.serial();
    Record::control(time, agent, Some(serial), Control::RevocationChanged(*change))
}

fn tokens_of(secret: &TokenSecret, tenant: &TenantId) -> TokenKey {
    TokenKey::new(crate::log::leaf::commitment(&secret.0, tenant.as_str().as_bytes()))
}

/// Rows that follow from one record of the system log.
fn system_changes(record: &Record) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else {
        return Ok(Vec::new());
    };
    Ok(match &**control {
        Control::DeploymentCreated { .. } => vec![set(Kind::Certificate, DEPLOYMENT.to_vec(), control)?],
        Control::CaCreated { role: CaRole::Root, .. } => {
            vec![set(Kind::Certificate, ROOT.to_vec(), control)?]
        }
        Control::CaCreated { role: CaRole::Issuing, .. } => {
            vec![set(Kind::Certificate, ISSUING.to_vec(), control)?]
        }
        Control::TenantCreated { tenant } => {
            vec![set(Kind::Agent, tenant.as_str().as_bytes().to_vec(), tenant)?]
        }
        _ => Vec::new(),
    })
}

/// Makes log key, root and issuing CA, and begins the system log with them, in one append.
async fn create(config: &Config, parts: &Parts) -> Result<(), Error> {
    let now = parts.clock.now();
    let seed = vault_seed(parts, now).await?;
    let host = host_of(&config.public_url)?;
    let log = make_key(parts, &seed, 0, KeyAlgorithm::Ed25519).await?;
    let root = make_key(parts, &seed, 1, config.ca_algorithms.0).await?;
    let issuing = make_key(parts, &seed, 2, config.ca_algorithms.1).await?;

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
        },
        ca(CaRole::Root, &root.0, &root_ca),
        ca(CaRole::Issuing, &issuing.0, &issuing_ca),
    ];
    let records = controls.map(|c| Record::control(system.time(now), None, None, c));
    let changes = records.iter().map(system_changes).collect::<Result<Vec<_>, _>>()?.concat();
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

async fn vault_seed(parts: &Parts, now: UnixTime) -> Result<[u8; 32], Error> {
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

/// Reads the deployment back, and checks that configuration, store and keys belong together.
async fn load(config: Config, parts: Parts) -> Result<Inner, Error> {
    level_system(&parts).await?;
    let Control::DeploymentCreated { trust_domain, public_url, arc, log_key, log_verifier } =
        system_row(&parts, DEPLOYMENT).await?
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
    let host = host_of(&public_url)?;
    let log_signer = parts.keys.open(&log_key).await?;
    let system = Ledger::open(LogId::System, &host, log_signer.clone(), &*parts.sink).await?;
    if system.key().to_string() != log_verifier {
        return Err(Error::Deployment("the log key is not the one that began the log".into()));
    }
    let (_, root) = ca_row(&parts, ROOT).await?;
    let (key, issuer) = ca_row(&parts, ISSUING).await?;
    let signer = parts.keys.open(&key).await?;
    if signer.public_key() != issuer.key().spki() {
        return Err(Error::Deployment("the issuing key is not the one in the issuing certificate".into()));
    }
    let ca = Ca { root, issuer, signer };
    let revocations = LogId::Revocations(ca.issuer.id());
    let revocation_log = Ledger::open(revocations, &host, log_signer.clone(), &*parts.sink).await?;
    let arc = Oids::parse(&arc).map_err(|e| Error::Deployment(e.to_string()))?;
    let token_secret = TokenSecret(vault_seed(&parts, parts.clock.now()).await?);
    let inner = Inner {
        policy: Policy { thresholds: config.thresholds, prior: Prior::default() },
        place: Place { trust_domain, public_url, arc },
        host,
        ca,
        log_signer,
        token_secret,
        system: async_lock::Mutex::new(system),
        revocation_log: async_lock::Mutex::new(revocation_log),
        tenants: async_lock::RwLock::new(HashMap::new()),
        live: Arc::new(LiveRevocations::default()),
        parts,
    };
    let tenants = scan(&inner, &LogId::System, Kind::Agent).await?;
    let mut known = inner.tenants.write().await;
    for (key, _) in tenants {
        let id = String::from_utf8(key).ok().and_then(|text| text.parse().ok());
        known.insert(id.ok_or_else(|| StoreError::Corrupt("a tenant's row does not decode".into()))?, None);
    }
    drop(known);
    Ok(inner)
}

/// Applies what the system log has and its state lacks.
async fn level_system(parts: &Parts) -> Result<(), Error> {
    let mut index = parts.state.applied(&LogId::System).await?;
    loop {
        let entries = parts.sink.read(&LogId::System, index, 4_096).await?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        for entry in &entries {
            changes.extend(system_changes(&Record::open(entry)?)?);
            index += 1;
        }
        parts.state.apply(&LogId::System, index, &changes).await?;
    }
}

async fn system_row(parts: &Parts, key: &[u8]) -> Result<Control, Error> {
    let row = parts.state.get(&LogId::System, Kind::Certificate, key).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the deployment's record is missing".into()))?;
    Ok(serde_json::from_slice(&row)
        .map_err(|_| StoreError::Corrupt("the deployment's record does not decode".into()))?)
}

async fn ca_row(parts: &Parts, key: &[u8]) -> Result<(KeyRef, Issuer), Error> {
    let Control::CaCreated { key, certificate, .. } = system_row(parts, key).await? else {
        return Err(StoreError::Corrupt("a certificate authority's record is of another kind".into()).into());
    };
    let der = pem::decode(pem::CERTIFICATE, &certificate).ok().and_then(|mut all| all.pop());
    let der = der.ok_or_else(|| StoreError::Corrupt("a CA certificate does not decode".into()))?;
    Ok((key, Issuer::from_der(der)?))
}

/// Host and port of the public URL, as origins of checkpoints begin with it.
fn host_of(url: &str) -> Result<String, Error> {
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
