//! Authorities as their operator orders them: the next one, and roots that are kept offline.

use std::sync::Arc;

use crate::id::{Serial, TenantId};
use crate::issue::Profile;
use crate::key::{KeyRef, Signer};
use crate::service::command::system::authorities::InstallAuthority;
use crate::service::deployment::config::{Config, OfflineRoot};
use crate::service::deployment::genesis;
use crate::service::deployment::offline::bound_to;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::engine::parts::Parts;
use crate::service::error::Error;
use crate::service::state::system::authorities::Root;
use crate::time::UnixTime;
use crate::x509::ca::{Issuer, sign_issuing, sign_root};
use crate::x509::csr::RequestToSign;
use crate::x509::published::Published;

impl Kakunin {
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
        self.inner.read_on().await?;
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
        self.inner.read_on().await?;
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let published = self.inner.published()?;
        let (root, root_signer) = self.root_for(&published, now).await?;
        let (key, signer) = self.next_key().await?;
        let serial = Serial::generate(&*parts.entropy)?;
        let binding = tenant.map(|tenant| (tenant, &self.inner.place.arc));
        let spki = signer.public_key();
        let signing =
            sign_issuing(&root.issuer, &*root_signer, spki, &serial, binding, Some(&published), now);
        let issuer = signing.await?;
        self.install(root, key, issuer, tenant).await
    }

    /// The root that signs the next issuing CA, with its key: one that will not see the certificates of a year is
    /// followed by a new one.
    async fn root_for(&self, published: &Published, now: UnixTime) -> Result<(Root, Arc<dyn Signer>), Error> {
        let parts = &self.inner.parts;
        let roots = self.inner.cas.roots();
        let newest = roots.last().ok_or(Error::NotFound("root"))?;
        let key = newest.key.as_ref().ok_or(Error::RootOffline)?;
        let soon = now.plus(Profile::Standard.lifetime());
        if newest.issuer.valid_at(now) && newest.issuer.valid_at(soon) {
            return Ok((newest.clone(), parts.keys.open(key).await?));
        }
        let seed = genesis::vault_seed(parts, now).await?;
        let algorithm = newest.issuer.algorithm();
        let (key, signer) = genesis::make_root_key(parts, &seed, roots.len(), algorithm).await?;
        let serial = Serial::generate(&*parts.entropy)?;
        let root = sign_root(&*signer, &serial, Some(published), now).await?;
        Ok((Root { issuer: Arc::new(root), key: Some(key) }, signer))
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
        self.inner.read_on().await?;
        let (key, signer) = self.next_key().await?;
        let (root, issuer) = signed.checked(signer.public_key(), self.inner.now())?;
        bound_to(&issuer, tenant, &self.inner.place.arc)?;
        self.inner.is_not_revoked(&root, &issuer)?;
        self.install(Root { issuer: Arc::new(root), key: None }, key, issuer, tenant).await
    }

    async fn next_key(&self) -> Result<(KeyRef, Arc<dyn Signer>), Error> {
        let inner = &self.inner;
        let seed = genesis::vault_seed(&inner.parts, inner.now()).await?;
        let algorithm = inner.cas.current().issuer.algorithm();
        let count = inner.known.read(|state| state.authorities.issuing.len());
        genesis::make_issuing_key(&inner.parts, &seed, count, algorithm).await
    }

    async fn install(
        &self,
        root: Root,
        key: KeyRef,
        issuer: Issuer,
        tenant: Option<&TenantId>,
    ) -> Result<Arc<Issuer>, Error> {
        let issuer = Arc::new(issuer);
        let order = InstallAuthority { root, key, issuer: issuer.clone(), tenant: tenant.cloned() };
        self.inner.order(&order, self.by.as_ref()).await?;
        Ok(issuer)
    }
}

impl Running {
    fn published(&self) -> Result<Published, Error> {
        Published::parse(&self.place.public_url).map_err(|error| Error::Deployment(error.to_string()))
    }
}

async fn request(signer: &dyn Signer, published: &Published) -> Result<Vec<u8>, Error> {
    let request = RequestToSign::for_authority(signer.public_key(), published);
    let signature = signer.sign(request.to_be_signed()).await?;
    Ok(request.assemble(&signature))
}
