//! Authorities as their operator sees them: who issues, the next one, roots that are kept offline.

use std::sync::Arc;

use super::cas::{self, Root};
use super::deployment::{OfflineRoot, Parts};
use super::error::Error;
use super::genesis::{self, created};
use super::system::CaRow;
use super::{Config, Inner, Kakunin};
use crate::feed::Visibility;
use crate::id::{IssuerId, Serial, TenantId};
use crate::issue::{IssueError, Profile};
use crate::key::{KeyAlgorithm, KeyRef, Signer, Spki};
use crate::log::record::CaRole;
use crate::revoke::Reason;
use crate::time::UnixTime;
use crate::x509::ca::{CaError, Issuer, sign_issuing, sign_root};
use crate::x509::csr::RequestToSign;
use crate::x509::oid;
use crate::x509::published::Published;

/// An issuing CA.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificate.
    pub issuer: Arc<Issuer>,
    /// The root above it.
    pub root: Arc<Issuer>,
    /// The tenant that it issues for, if not for every tenant without its own.
    pub tenant: Option<TenantId>,
    /// Whether it issues now. One that was replaced still publishes CRLs, until it expires.
    pub current: bool,
    /// Who may read what it revoked.
    pub visibility: Visibility,
}

impl Kakunin {
    /// The root above [`Kakunin::issuer`].
    #[must_use]
    pub fn root(&self) -> Arc<Issuer> {
        self.inner.cas.current().root.clone()
    }

    /// Every root of this deployment, in the order in which they were made.
    #[must_use]
    pub fn roots(&self) -> Vec<Arc<Issuer>> {
        self.inner.cas.roots().into_iter().map(|root| root.issuer).collect()
    }

    /// The CA that issues to agents of tenants that have none of their own.
    #[must_use]
    pub fn issuer(&self) -> Arc<Issuer> {
        self.inner.cas.current().issuer.clone()
    }

    /// Every issuing CA that has not ended, and whoever issues now, in the order in which they were made.
    #[must_use]
    pub fn authorities(&self) -> Vec<Authority> {
        let cas = &self.inner.cas;
        let authority = |ca: Arc<cas::Ca>| {
            let now = match &ca.tenant {
                Some(tenant) => cas.own(tenant),
                None => Some(cas.current()),
            };
            let current = now.is_some_and(|now| now.issuer.id() == ca.issuer.id());
            Authority {
                issuer: ca.issuer.clone(),
                root: ca.root.clone(),
                tenant: ca.tenant.clone(),
                current,
                visibility: ca
                    .tenant
                    .as_ref()
                    .map_or_else(Visibility::default, |tenant| cas.visibility(tenant)),
            }
        };
        cas.all().into_iter().map(authority).collect()
    }

    /// Those that issue now and that their root has revoked: the CRL of a root that is kept offline says so, once it is
    /// installed. They issue nothing more, and nobody accepts what they issued.
    #[must_use]
    pub fn revoked_authorities(&self) -> Vec<Authority> {
        let revoked = |ca: &Authority| self.inner.revoked_above(&ca.root, &ca.issuer).is_some();
        self.authorities().into_iter().filter(|ca| ca.current && revoked(ca)).collect()
    }

    /// Why an issuing CA is on the CRL of its root, if it is: nothing that it issued is valid.
    #[must_use]
    pub fn authority_revoked(&self, issuer: &IssuerId) -> Option<Reason> {
        self.inner.cas.get(issuer).and_then(|ca| self.inner.revoked_above(&ca.root, &ca.issuer))
    }

    /// How many issuing CAs there have been: whoever keeps a copy of [`Kakunin::authorities`] makes it anew when this
    /// grew.
    #[must_use]
    pub fn authorities_made(&self) -> u32 {
        self.inner.cas.count()
    }

    /// The request for the issuing CA of a deployment that is yet to be made under an offline root:
    /// PKCS#10, DER. To be signed there, and given to [`Kakunin::open`] as [`Config::offline`]. Asked again,
    /// it is for the same key.
    ///
    /// # Errors
    /// What the parts say.
    pub async fn request_first_issuing(config: &Config, parts: &Parts) -> Result<Vec<u8>, Error> {
        let seed = genesis::vault_seed(parts, parts.clock.now()).await?;
        let (_, signer) = genesis::make_issuing_key(parts, &seed, 0, config.ca_algorithms.1).await?;
        let published = Published::parse(&config.public_url).map_err(|e| Error::Deployment(e.to_string()))?;
        request(&*signer, &published).await
    }

    /// The request for the next issuing CA: PKCS#10, DER. To be signed by a root whose key is elsewhere, and
    /// given to [`Kakunin::install_issuing`]. Asked again, it is for the same key.
    ///
    /// # Errors
    /// What the key provider says.
    pub async fn request_issuing(&self) -> Result<Vec<u8>, Error> {
        request(&*self.next_key().await?.1, &self.inner.published()?).await
    }

    /// Replaces the issuing CA, of one tenant or of all that have none of their own, with one under the
    /// newest root; a root whose key is here and that is not valid for another year is followed by a new one, which
    /// whoever verifies has to be given. What the old one issued stays valid until it expires, and its CRLs go on. That of a tenant is
    /// bound to it by its certificate: verifiers accept no agent of another tenant from it.
    ///
    /// # Errors
    /// [`Error::RootOffline`]; [`Error::NotFound`] if there is no such tenant; what the parts say.
    pub async fn rotate_issuing(&self, tenant: Option<&TenantId>) -> Result<Arc<Issuer>, Error> {
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let published = self.inner.published()?;
        let (root, root_signer, new_root) = self.root_for(&published, now).await?;
        let (key, signer) = self.next_key().await?;
        let serial = Serial::generate(&*parts.entropy)?;
        let binding = tenant.map(|tenant| (tenant, &self.inner.place.arc));
        let spki = signer.public_key();
        let signing =
            sign_issuing(&root.issuer, &*root_signer, spki, &serial, binding, Some(&published), now);
        let issuer = signing.await?;
        self.install(new_root.then_some(root), key, issuer, tenant).await
    }

    /// The root that signs the next issuing CA, with its key, and whether it is new: one that will not see the
    /// certificates of a year is followed.
    async fn root_for(
        &self,
        published: &Published,
        now: UnixTime,
    ) -> Result<(Root, Arc<dyn Signer>, bool), Error> {
        let parts = &self.inner.parts;
        let roots = self.inner.cas.roots();
        let newest = roots.last().ok_or(Error::NotFound("root"))?;
        let key = newest.key.as_ref().ok_or(Error::RootOffline)?;
        let soon = now.plus(Profile::Standard.lifetime());
        if newest.issuer.valid_at(now) && newest.issuer.valid_at(soon) {
            return Ok((newest.clone(), parts.keys.open(key).await?, false));
        }
        let seed = genesis::vault_seed(parts, now).await?;
        let algorithm = newest.issuer.algorithm();
        let (key, signer) = genesis::make_root_key(parts, &seed, roots.len(), algorithm).await?;
        let serial = Serial::generate(&*parts.entropy)?;
        let root = sign_root(&*signer, &serial, Some(published), now).await?;
        Ok((Root { issuer: Arc::new(root), key: Some(key) }, signer, true))
    }

    /// As [`Kakunin::rotate_issuing`], with what a root signed for [`Kakunin::request_issuing`]. Another root
    /// than the newest becomes an anchor of this deployment.
    ///
    /// # Errors
    /// [`Error::Ca`] if these are not a root, and an issuing CA that it signed for the key that was
    /// requested, or its certificate binds it to another tenant.
    pub async fn install_issuing(
        &self,
        tenant: Option<&TenantId>,
        signed: &OfflineRoot,
    ) -> Result<Arc<Issuer>, Error> {
        let (key, signer) = self.next_key().await?;
        let (root, issuer) = signed.checked(signer.public_key(), self.inner.now())?;
        bound_to(&issuer, tenant, &self.inner.place.arc)?;
        self.inner.is_not_revoked(&root, &issuer)?;
        let known = self.inner.cas.roots().iter().any(|known| known.issuer.as_der() == root.as_der());
        let root = Root { issuer: Arc::new(root), key: None };
        self.install(Some(root).filter(|_| !known), key, issuer, tenant).await
    }

    async fn next_key(&self) -> Result<(KeyRef, Arc<dyn Signer>), Error> {
        let inner = &self.inner;
        let seed = genesis::vault_seed(&inner.parts, inner.now()).await?;
        let algorithm = inner.cas.current().issuer.algorithm();
        genesis::make_issuing_key(&inner.parts, &seed, inner.cas.count(), algorithm).await
    }

    async fn install(
        &self,
        new_root: Option<Root>,
        key: KeyRef,
        issuer: Issuer,
        tenant: Option<&TenantId>,
    ) -> Result<Arc<Issuer>, Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        if let Some(tenant) = tenant
            && !inner.tenants.read().await.contains_key(tenant)
        {
            return Err(Error::NotFound("tenant"));
        }
        if inner.cas.get(&issuer.id()).is_some() {
            return Err(Error::Exists("another call installed an issuing CA; look whether that is enough"));
        }
        if let Some(root) = new_root {
            let record = created(CaRole::Root, root.key.as_ref(), &root.issuer, None);
            inner.append_system(&mut system, record, self.by.clone()).await?;
            inner.cas.add_root(root);
        }
        let record = created(CaRole::Issuing, Some(&key), &issuer, tenant);
        let row = CaRow { role: CaRole::Issuing, key: Some(key), tenant: tenant.cloned(), issuer };
        let ca = cas::open(
            &inner.parts,
            &inner.host,
            (&inner.log_signer, &inner.seal_key),
            row,
            &inner.cas.roots(),
            false,
        )
        .await?;
        // Verifiers know it before anybody has a certificate of it.
        inner.load_revocations(&ca).await?;
        inner.append_system(&mut system, record, self.by.clone()).await?;
        let issuer = ca.issuer.clone();
        inner.cas.add(Arc::new(ca));
        Ok(issuer)
    }
}

impl Inner {
    /// The one that issues for this tenant now.
    ///
    /// # Errors
    /// As [`Cas::of`](cas::Cas::of); [`Error::Issue`] if its root has revoked it.
    pub(super) fn issuing_for(&self, tenant: &TenantId) -> Result<Arc<cas::Ca>, Error> {
        let ca = self.cas.of(tenant, self.now())?;
        self.is_not_revoked(&ca.root, &ca.issuer)?;
        Ok(ca)
    }

    /// That the root's CRL, if there is one here, does not name this authority, revoked or held.
    pub(super) fn is_not_revoked(&self, root: &Issuer, issuer: &Issuer) -> Result<(), IssueError> {
        self.revoked_above(root, issuer).map_or(Ok(()), |_| Err(IssueError::IssuerRevoked(issuer.id())))
    }

    fn revoked_above(&self, root: &Issuer, issuer: &Issuer) -> Option<Reason> {
        self.live.reason(&root.id(), &issuer.serial_number()?).ok().flatten()
    }
}

impl OfflineRoot {
    /// Both certificates, if the root signed the other for `key`, and both are valid now.
    pub(super) fn checked(&self, key: &Spki, now: UnixTime) -> Result<(Issuer, Issuer), CaError> {
        let root = Issuer::from_der(self.root.clone())?;
        let issuer = Issuer::from_der(self.issuing.clone())?;
        root.check_issued_by(&root)?;
        issuer.check_issued_by(&root)?;
        let valid = |ca: &Issuer| ca.not_before() <= now && now <= ca.not_after();
        let algorithm = [&root, &issuer].iter().any(|ca| ca.algorithm() == KeyAlgorithm::Ed25519);
        if algorithm {
            return Err(CaError::Algorithm);
        }
        if issuer.key().spki() != key || root.id() == issuer.id() {
            return Err(CaError::OtherKey);
        }
        if !valid(&root) || !valid(&issuer) {
            return Err(CaError::NotValid);
        }
        Ok((root, issuer))
    }
}

/// Refuses a CA whose certificate binds it to another tenant than this one.
pub(super) fn bound_to(issuer: &Issuer, tenant: Option<&TenantId>, arc: &oid::Arc) -> Result<(), CaError> {
    match issuer.tenant(arc)? {
        Some(bound) if Some(&bound) != tenant => Err(CaError::OtherTenant(bound)),
        _ => Ok(()),
    }
}

impl Inner {
    fn published(&self) -> Result<Published, Error> {
        Published::parse(&self.place.public_url).map_err(|error| Error::Deployment(error.to_string()))
    }
}

async fn request(signer: &dyn Signer, published: &Published) -> Result<Vec<u8>, Error> {
    let request = RequestToSign::for_authority(signer.public_key(), published);
    let signature = signer.sign(request.to_be_signed()).await?;
    Ok(request.assemble(&signature))
}
