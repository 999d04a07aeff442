//! The certificate authorities of a deployment: which issues for whom now, and which did before.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use event_listener::Event;

use super::ledger::Ledger;
use super::origins::Origins;
use super::parts::Parts;
use super::seal::SealKey;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::issue::may_issue;
use crate::key::{KeyAlgorithm, KeyRef, SignError, Signature, Signer, Spki};
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::service::state::system::authorities::{Authority, Root};
use crate::service::state::system::known::Known;
use crate::time::UnixTime;
use crate::x509::ca::Issuer;

/// Seen by who asks for a certificate; whoever opens it is told why it cannot be.
const NOT_OPEN: &str = "the issuing CA that is on record is not open here yet";

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

/// Every authority on record that has not ended, and whoever issues now, ended or not: without one nothing could be
/// served, nor the next one be made. An issuing CA that was replaced goes on publishing CRLs, and its certificates stay
/// valid until they expire.
#[derive(Debug)]
pub(crate) struct Cas {
    known: Arc<Known>,
    open: RwLock<Open>,
    /// The one that issued for all others when this was loaded.
    first: Arc<Ca>,
}

/// What is open of the authorities on record: it follows from those, and from what could be opened.
#[derive(Debug, Default)]
struct Open {
    /// In the order in which they were made.
    issuing: Vec<Arc<Ca>>,
    by_id: HashMap<IssuerId, Arc<Ca>>,
    /// The newest for each tenant that has its own, and under `None` for all others.
    current: HashMap<Option<TenantId>, Arc<Ca>>,
    /// Issuing CAs that were replaced and have ended: nobody accepts anything of theirs.
    ended: HashSet<IssuerId>,
    /// How many there are on record, if none of them is missing here.
    complete: Option<usize>,
    /// Opened, and not on record yet.
    ready: HashMap<IssuerId, Arc<Ca>>,
}

impl Open {
    fn add(&mut self, ca: Arc<Ca>) {
        self.by_id.insert(ca.issuer.id(), ca.clone());
        self.current.insert(ca.tenant.clone(), ca.clone());
        self.issuing.push(ca);
    }
}

impl Cas {
    pub(crate) fn new(known: Arc<Known>, first: Arc<Ca>) -> Self {
        Self { known, open: RwLock::default(), first }
    }

    fn read<T>(&self, read: impl FnOnce(&Open) -> T) -> T {
        read(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Open) -> T) -> T {
        change(&mut self.open.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has one ready that is open, with its revocations known: it is in use once it is on record.
    pub(crate) fn ready(&self, ca: Arc<Ca>) {
        self.change(|open| {
            let id = ca.issuer.id();
            // One that is in use stays: its revocation log has one sequencer.
            if !open.by_id.contains_key(&id) {
                open.ready.insert(id, ca);
            }
        });
    }

    /// Takes in what is on record now, as far as it is open, and gives what is to be opened.
    pub(crate) fn adopt(&self, now: UnixTime) -> Vec<Authority> {
        self.known.read(|state| {
            let on_record = &state.authorities;
            self.change(|open| {
                if open.complete == Some(on_record.issuing.len()) {
                    return Vec::new();
                }
                let mut next = Open { ready: std::mem::take(&mut open.ready), ..Open::default() };
                let mut missing = Vec::new();
                for ca in &on_record.issuing {
                    let id = ca.issuer.id();
                    // One that could not be recorded had another certificate for the same key.
                    let same = |ready: &Arc<Ca>| ready.issuer.as_der() == ca.issuer.as_der();
                    let ready = |next: &mut Open| next.ready.remove(&id).filter(same);
                    match open.by_id.remove(&id).or_else(|| ready(&mut next)) {
                        Some(ca) => next.add(ca),
                        None if ended(&ca.issuer, now) && !on_record.is_current(ca) => {
                            next.ended.insert(id);
                        }
                        None => missing.push(ca.clone()),
                    }
                }
                next.complete = missing.is_empty().then_some(on_record.issuing.len());
                *open = next;
                missing
            })
        })
    }

    /// The one that issues for this tenant now. One of its own that has ended is not followed by a shared one: that
    /// is for whoever gave it one to decide.
    ///
    /// # Errors
    /// [`Error::Issue`] if it is not valid now; [`Error::Store`] if it is on record and not open here yet;
    /// [`Error::SharedIssuer`] if that would be one whose revocations anybody may read, and this tenant's are private:
    /// its own has ended.
    pub(crate) fn of(&self, tenant: &TenantId, now: UnixTime) -> Result<Arc<Ca>, Error> {
        let on_record = self.known.read(|state| {
            let of = |tenant| state.authorities.current(tenant);
            of(Some(tenant)).or_else(|| of(None))
        });
        let ca = self.own(tenant).unwrap_or_else(|| self.current());
        // Whoever replaced one wants nothing more of it.
        if on_record != Some(ca.issuer.id()) {
            return Err(StoreError::unavailable(NOT_OPEN).into());
        }
        if self.is_private(tenant) && (ca.tenant.is_none() || ended(&ca.issuer, now)) {
            return Err(Error::SharedIssuer);
        }
        may_issue(&ca.issuer, now)?;
        Ok(ca)
    }

    /// The one that issues for this tenant alone.
    pub(crate) fn own(&self, tenant: &TenantId) -> Option<Arc<Ca>> {
        self.read(|open| open.current.get(&Some(tenant.clone())).cloned())
    }

    pub(crate) fn is_private(&self, tenant: &TenantId) -> bool {
        self.visibility(tenant) == Visibility::Private
    }

    /// Who may read what this tenant's own CAs revoked.
    pub(crate) fn visibility(&self, tenant: &TenantId) -> Visibility {
        self.known.visibility(tenant)
    }

    /// The one that issues for tenants without their own.
    pub(crate) fn current(&self) -> Arc<Ca> {
        self.read(|open| open.current.get(&None).cloned()).unwrap_or_else(|| self.first.clone())
    }

    pub(crate) fn get(&self, id: &IssuerId) -> Option<Arc<Ca>> {
        self.read(|open| open.by_id.get(id).cloned())
    }

    /// Whether it was replaced, and has ended since.
    pub(crate) fn has_ended(&self, id: &IssuerId) -> bool {
        self.read(|open| open.ended.contains(id))
    }

    /// Those that issue now: for everybody, and for tenants.
    pub(crate) fn issuing_now(&self) -> Vec<Arc<Ca>> {
        self.read(|open| open.current.values().cloned().collect())
    }

    /// In the order in which they were made.
    pub(crate) fn all(&self) -> Vec<Arc<Ca>> {
        self.read(|open| open.issuing.clone())
    }

    pub(crate) fn roots(&self) -> Vec<Root> {
        self.known.read(|state| state.authorities.roots.clone())
    }

    /// How many issuing CAs there have been that are in use here, or were.
    pub(crate) fn count(&self) -> u32 {
        let count = self.read(|open| open.issuing.len() + open.ended.len());
        u32::try_from(count).unwrap_or(u32::MAX)
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
    origins: &Origins,
    (log_signer, seal_key): (&Arc<dyn Signer>, &SealKey),
    ca: Authority,
    roots: &[Root],
) -> Result<Ca, Error> {
    let Authority { key, tenant, issuer, .. } = ca;
    let ended = ended(&issuer, parts.clock.now());
    let corrupt = |what: &str| StoreError::Corrupt(what.into());
    let above = |root: &&Root| issuer.issued_by() == Some(root.issuer.id());
    let root = roots.iter().rfind(above).ok_or_else(|| corrupt("an issuing CA has no root"))?;
    let key = key.ok_or_else(|| corrupt("an issuing CA has no key"))?;
    let signer = match parts.keys.open_known(&key, issuer.key().spki()).await {
        Err(_) if ended => Arc::new(Gone(key, issuer.key().spki().clone())),
        opened => opened?,
    };
    let log =
        Ledger::open(LogId::Revocations(issuer.id()), origins, log_signer.clone(), seal_key, &*parts.sink)
            .await?;
    let root = root.issuer.clone();
    let growth = Growth::default();
    growth.raise(log.size());
    Ok(Ca { root, issuer, tenant, signer, log: async_lock::Mutex::new(log), growth })
}
