//! The certificate authorities of a deployment: which issues for whom now, and which did before.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use event_listener::Event;

use super::crl::Publisher;
use super::deployment::Parts;
use super::error::Error;
use super::feed::Feed;
use super::ledger::Ledger;
use super::seal::SealKey;
use super::system::{self, CaRow};
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::key::{KeyRef, Signer};
use crate::log::record::CaRole;
use crate::log::sink::LogId;
use crate::x509::ca::Issuer;

/// An issuing CA with its signer and its revocation log, and the root above it.
#[derive(Debug)]
pub(super) struct Ca {
    pub(super) root: Arc<Issuer>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) tenant: Option<TenantId>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) log: async_lock::Mutex<Ledger>,
    /// How long that log is, for followers of it.
    pub(super) growth: Growth,
    pub(super) crls: Publisher,
    /// What followers of it are given.
    pub(super) feed: Feed,
}

/// The size of a log as far as it is durable, and a bell that rings when it grows.
#[derive(Debug, Default)]
pub(super) struct Growth {
    size: AtomicU64,
    grown: Event,
}

impl Growth {
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn raise(&self, size: u64) {
        if self.size.fetch_max(size, Ordering::AcqRel) < size {
            self.grown.notify(usize::MAX);
        }
    }

    /// Waits until the size is above `known`, and gives it.
    pub(super) async fn above(&self, known: u64) -> u64 {
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
pub(super) struct Root {
    pub(super) issuer: Arc<Issuer>,
    pub(super) key: Option<KeyRef>,
}

/// Every authority that has not expired. An issuing CA that was replaced goes on publishing CRLs, and its
/// certificates stay valid until they expire.
#[derive(Debug)]
pub(super) struct Cas {
    known: RwLock<Known>,
    /// For when a deployment has none left; it does not start so.
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
    pub(super) async fn load(
        parts: &Parts,
        host: &str,
        log_signer: &Arc<dyn Signer>,
        seal_key: &SealKey,
    ) -> Result<Self, Error> {
        let now = parts.clock.now();
        let mut known = Known { private: system::private_tenants(parts).await?, ..Known::default() };
        for row in system::authorities(parts).await? {
            if row.role == CaRole::Root {
                known.roots.push(Root { issuer: Arc::new(row.issuer), key: row.key });
                continue;
            }
            known.count += 1;
            // One that has expired signs nothing any more, and its key may be gone.
            if row.issuer.not_after() >= now {
                let ca = open(parts, host, (log_signer, seal_key), row, &known.roots).await?;
                known.add(Arc::new(ca));
            }
        }
        let first = known.current.get(&None).cloned();
        let first = first.ok_or_else(|| {
            Error::Deployment("its issuing certificate authorities have expired; install another".into())
        })?;
        Ok(Self { known: RwLock::new(known), first })
    }

    fn read<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one that issues for this tenant.
    ///
    /// # Errors
    /// [`Error::SharedIssuer`] if that would be one whose revocations anybody may read, and this tenant's are
    /// private: its own has expired.
    pub(super) fn of(&self, tenant: &TenantId) -> Result<Arc<Ca>, Error> {
        match self.own(tenant) {
            Some(own) => Ok(own),
            None if self.is_private(tenant) => Err(Error::SharedIssuer),
            None => Ok(self.current()),
        }
    }

    /// The one that issues for this tenant alone.
    pub(super) fn own(&self, tenant: &TenantId) -> Option<Arc<Ca>> {
        self.read(|known| known.current.get(&Some(tenant.clone())).cloned())
    }

    pub(super) fn is_private(&self, tenant: &TenantId) -> bool {
        self.visibility(tenant) == Visibility::Private
    }

    /// Who may read what this tenant's own CAs revoked.
    pub(super) fn visibility(&self, tenant: &TenantId) -> Visibility {
        let private = self.read(|known| known.private.contains(tenant));
        if private { Visibility::Private } else { Visibility::Public }
    }

    pub(super) fn set_private(&self, tenant: &TenantId, private: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if private {
            known.private.insert(tenant.clone());
        } else {
            known.private.remove(tenant);
        }
    }

    /// The one that issues for tenants without their own.
    pub(super) fn current(&self) -> Arc<Ca> {
        self.read(|known| known.current.get(&None).cloned()).unwrap_or_else(|| self.first.clone())
    }

    pub(super) fn get(&self, id: &IssuerId) -> Option<Arc<Ca>> {
        self.read(|known| known.by_id.get(id).cloned())
    }

    /// In the order in which they were made.
    pub(super) fn all(&self) -> Vec<Arc<Ca>> {
        self.read(|known| known.issuing.clone())
    }

    pub(super) fn roots(&self) -> Vec<Root> {
        self.read(|known| known.roots.clone())
    }

    pub(super) fn count(&self) -> u32 {
        self.read(|known| known.count)
    }

    pub(super) fn add_root(&self, root: Root) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).roots.push(root);
    }

    pub(super) fn add(&self, ca: Arc<Ca>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.count += 1;
        known.add(ca);
    }
}

/// Opens what is on record; its key must be the one in its certificate.
pub(super) async fn open(
    parts: &Parts,
    host: &str,
    (log_signer, seal_key): (&Arc<dyn Signer>, &SealKey),
    row: CaRow,
    roots: &[Root],
) -> Result<Ca, Error> {
    let CaRow { key, tenant, issuer, .. } = row;
    let corrupt = |what: &str| StoreError::Corrupt(what.into());
    let above = |root: &&Root| issuer.issued_by() == Some(root.issuer.id());
    let root = roots.iter().rfind(above).ok_or_else(|| corrupt("an issuing CA has no root"))?;
    let key = key.ok_or_else(|| corrupt("an issuing CA has no key"))?;
    let signer = parts.keys.open_known(&key, issuer.key().spki()).await?;
    let log = Ledger::open(LogId::Revocations(issuer.id()), host, log_signer.clone(), seal_key, &*parts.sink)
        .await?;
    let (root, issuer) = (root.issuer.clone(), Arc::new(issuer));
    let growth = Growth::default();
    growth.raise(log.size());
    let crls = Publisher::default();
    Ok(Ca {
        root,
        issuer,
        tenant,
        signer,
        log: async_lock::Mutex::new(log),
        growth,
        feed: Feed::default(),
        crls,
    })
}
