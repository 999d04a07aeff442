//! The certificate authorities of a deployment: which issues for whom now, and which did before.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use event_listener::Event;

use super::ledger::Ledger;
use super::parts::Parts;
use super::seal::SealKey;
use super::system;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::issue::may_issue;
use crate::key::{KeyAlgorithm, KeyRef, SignError, Signature, Signer, Spki};
use crate::log::entry::LogId;
use crate::log::record::CaRole;
use crate::service::error::Error;
use crate::service::state::system::CaRow;
use crate::time::UnixTime;
use crate::x509::ca::Issuer;

/// An issuing CA with its signer and its revocation log, and the root above it.
#[derive(Debug)]
pub(crate) struct Ca {
    pub(crate) root: Arc<Issuer>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) log: async_lock::Mutex<Ledger>,
    /// How long that log is, for followers of it.
    pub(crate) growth: Growth,
}

/// The size of a log as far as it is durable, and a bell that rings when it grows.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    size: AtomicU64,
    grown: Event,
}

impl Growth {
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn raise(&self, size: u64) {
        if self.size.fetch_max(size, Ordering::AcqRel) < size {
            self.grown.notify(usize::MAX);
        }
    }

    /// Waits until the size is above `known`, and gives it.
    pub(crate) async fn above(&self, known: u64) -> u64 {
        loop {
            // Before the look, so that what grows in between rings.
            let listener = self.grown.listen();
            let size = self.size();
            if size > known {
                return size;
            }
            listener.await;
        }
    }
}

/// A root, and its key if that is here.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) key: Option<KeyRef>,
}

/// Every authority that has not ended, and whoever issues now, ended or not: without one nothing could be served, nor
/// the next one be made. An issuing CA that was replaced goes on publishing CRLs, and its certificates stay valid
/// until they expire.
#[derive(Debug)]
pub(crate) struct Cas {
    known: RwLock<Known>,
    /// The one that issued for all others when this was loaded.
    first: Arc<Ca>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order in which they were made.
    roots: Vec<Root>,
    issuing: Vec<Arc<Ca>>,
    by_id: HashMap<IssuerId, Arc<Ca>>,
    /// The newest for each tenant that has its own, and under `None` for all others.
    current: HashMap<Option<TenantId>, Arc<Ca>>,
    /// Issuing CAs that were replaced and have ended: nobody accepts anything of theirs.
    ended: HashSet<IssuerId>,
    /// Tenants whose own CAs tell what they revoked to nobody else.
    private: HashSet<TenantId>,
    /// How many issuing CAs there have been.
    count: u32,
}

impl Known {
    fn add(&mut self, ca: Arc<Ca>) {
        self.by_id.insert(ca.issuer.id(), ca.clone());
        self.current.insert(ca.tenant.clone(), ca.clone());
        self.issuing.push(ca);
    }
}

impl Cas {
    pub(crate) async fn load(
        parts: &Parts,
        host: &str,
        log_signer: &Arc<dyn Signer>,
        seal_key: &SealKey,
    ) -> Result<Self, Error> {
        let now = parts.clock.now();
        let mut known = Known { private: system::private_tenants(parts).await?, ..Known::default() };
        let (roots, issuing): (Vec<_>, Vec<_>) =
            system::authorities(parts).await?.into_iter().partition(|row| row.role == CaRole::Root);
        let root = |row: CaRow| Root { issuer: Arc::new(row.issuer), key: row.key };
        known.roots = roots.into_iter().map(root).collect();
        let newest: HashMap<_, _> = issuing.iter().map(|row| (row.tenant.clone(), row.issuer.id())).collect();
        for row in issuing {
            known.count += 1;
            let ended = ended(&row.issuer, now);
            if ended && newest.get(&row.tenant) != Some(&row.issuer.id()) {
                known.ended.insert(row.issuer.id());
                continue;
            }
            let ca = open(parts, host, (log_signer, seal_key), row, &known.roots, ended).await?;
            known.add(Arc::new(ca));
        }
        let first = known.current.get(&None).cloned();
        let first = first.ok_or_else(|| StoreError::Corrupt("there is no issuing CA on record".into()))?;
        Ok(Self { known: RwLock::new(known), first })
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one that issues for this tenant now. One of its own that has ended is not followed by a shared one: that
    /// is for whoever gave it one to decide.
    ///
    /// # Errors
    /// [`Error::Issue`] if it is not valid now; [`Error::SharedIssuer`] if that would be one whose revocations anybody
    /// may read, and this tenant's are private: its own has ended.
    pub(crate) fn of(&self, tenant: &TenantId, now: UnixTime) -> Result<Arc<Ca>, Error> {
        let ca = self.for_tenant(tenant, now)?;
        may_issue(&ca.issuer, now)?;
        Ok(ca)
    }

    fn for_tenant(&self, tenant: &TenantId, now: UnixTime) -> Result<Arc<Ca>, Error> {
        match self.own(tenant) {
            Some(own) if !ended(&own.issuer, now) || !self.is_private(tenant) => Ok(own),
            Some(_) => Err(Error::SharedIssuer),
            None if self.is_private(tenant) => Err(Error::SharedIssuer),
            None => Ok(self.current()),
        }
    }

    /// The one that issues for this tenant alone.
    pub(crate) fn own(&self, tenant: &TenantId) -> Option<Arc<Ca>> {
        self.read(|known| known.current.get(&Some(tenant.clone())).cloned())
    }

    pub(crate) fn is_private(&self, tenant: &TenantId) -> bool {
        self.visibility(tenant) == Visibility::Private
    }

    /// Who may read what this tenant's own CAs revoked.
    pub(crate) fn visibility(&self, tenant: &TenantId) -> Visibility {
        let private = self.read(|known| known.private.contains(tenant));
        if private { Visibility::Private } else { Visibility::Public }
    }

    pub(crate) fn set_private(&self, tenant: &TenantId, private: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if private {
            known.private.insert(tenant.clone());
        } else {
            known.private.remove(tenant);
        }
    }

    /// The one that issues for tenants without their own.
    pub(crate) fn current(&self) -> Arc<Ca> {
        self.read(|known| known.current.get(&None).cloned()).unwrap_or_else(|| self.first.clone())
    }

    pub(crate) fn get(&self, id: &IssuerId) -> Option<Arc<Ca>> {
        self.read(|known| known.by_id.get(id).cloned())
    }

    /// Whether it was replaced, and has ended since.
    pub(crate) fn has_ended(&self, id: &IssuerId) -> bool {
        self.read(|known| known.ended.contains(id))
    }

    /// Those that issue now: for everybody, and for tenants.
    pub(crate) fn issuing_now(&self) -> Vec<Arc<Ca>> {
        self.read(|known| known.current.values().cloned().collect())
    }

    /// In the order in which they were made.
    pub(crate) fn all(&self) -> Vec<Arc<Ca>> {
        self.read(|known| known.issuing.clone())
    }

    pub(crate) fn roots(&self) -> Vec<Root> {
        self.read(|known| known.roots.clone())
    }

    pub(crate) fn count(&self) -> u32 {
        self.read(|known| known.count)
    }

    pub(crate) fn add_root(&self, root: Root) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).roots.push(root);
    }

    pub(crate) fn add(&self, ca: Arc<Ca>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.count += 1;
        known.add(ca);
    }
}

pub(crate) fn ended(issuer: &Issuer, now: UnixTime) -> bool {
    now.whole_secs() > issuer.not_after()
}

/// The key of an authority that has ended and cannot be opened: nobody needs it.
#[derive(Debug)]
struct Gone(KeyRef, Spki);

#[async_trait]
impl Signer for Gone {
    fn algorithm(&self) -> KeyAlgorithm {
        self.1.algorithm()
    }

    fn public_key(&self) -> &Spki {
        &self.1
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        Err(SignError::Refused { key: self.0.clone(), why: "its certificate authority has ended" })
    }
}

/// Opens what is on record; its key must be the one in its certificate. That of one that has ended may be gone.
pub(crate) async fn open(
    parts: &Parts,
    host: &str,
    (log_signer, seal_key): (&Arc<dyn Signer>, &SealKey),
    row: CaRow,
    roots: &[Root],
    ended: bool,
) -> Result<Ca, Error> {
    let CaRow { key, tenant, issuer, .. } = row;
    let corrupt = |what: &str| StoreError::Corrupt(what.into());
    let above = |root: &&Root| issuer.issued_by() == Some(root.issuer.id());
    let root = roots.iter().rfind(above).ok_or_else(|| corrupt("an issuing CA has no root"))?;
    let key = key.ok_or_else(|| corrupt("an issuing CA has no key"))?;
    let signer = match parts.keys.open_known(&key, issuer.key().spki()).await {
        Err(_) if ended => Arc::new(Gone(key, issuer.key().spki().clone())),
        opened => opened?,
    };
    let log = Ledger::open(LogId::Revocations(issuer.id()), host, log_signer.clone(), seal_key, &*parts.sink)
        .await?;
    let (root, issuer) = (root.issuer.clone(), Arc::new(issuer));
    let growth = Growth::default();
    growth.raise(log.size());
    Ok(Ca { root, issuer, tenant, signer, log: async_lock::Mutex::new(log), growth })
}
