//! CRLs of roots: who checks every CA of a chain needs them, though they say nothing yet.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::guard::goes_forward;
use super::kept::ToRecord;
use super::published::{PublishedCrl, key};
use super::unwritten::Much;
use crate::id::IssuerId;
use crate::key::KeyRef;
use crate::log::entry::LogId;
use crate::revoke::RevokedSet;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::visibility::Reader;
use crate::service::engine::cas::ended;
use crate::service::error::Error;
use crate::service::state::crl_mark::Mark;
use crate::service::state::system::authorities::Root;
use crate::store::state::Kind;
use crate::time::{DAY, UnixTime};
use crate::x509::ca::Issuer;
use crate::x509::crl::{self, BACKDATE, Coverage, CrlRefused, CrlView};

/// How long the CRL of a root whose key is here is valid.
const ROOT_CRL_VALIDITY: u64 = 7 * DAY;

impl Kakunin {
    /// Every CRL that a relying party of this deployment needs who checks whole chains: the full one of each
    /// issuing CA that `reader` may read, then those of the roots. A root that is kept offline has one if it
    /// was installed.
    ///
    /// # Errors
    /// As [`Kakunin::published_crl`].
    pub async fn chain_crls(&self, reader: Reader<'_>) -> Result<Vec<Arc<PublishedCrl>>, Error> {
        let mut crls = Vec::new();
        for ca in self.inner.cas.all() {
            let issuer = ca.issuer.id();
            if self.may_read_revocations(&issuer, reader) {
                match self.published_crl(&issuer, None).await {
                    // The others' are needed all the same; its own nobody needs.
                    Err(_) if ended(&ca.issuer, self.inner.now()) => {}
                    crl => crls.push((issuer, crl?)),
                }
            }
        }
        for root in self.inner.cas.roots() {
            match self.inner.root_crl(&root.issuer.id()).await {
                Err(Error::NotFound(_)) => {}
                Err(_) if ended(&root.issuer, self.inner.now()) => {}
                crl => crls.push((root.issuer.id(), crl?)),
            }
        }
        // Making them takes time, in which a tenant may have closed its own.
        crls.retain(|(issuer, _)| self.may_read_revocations(issuer, reader));
        Ok(crls.into_iter().map(|(_, crl)| crl).collect())
    }

    /// Takes the CRL of a root that is kept elsewhere, DER: it is served from then on, and verifiers in this process
    /// refuse what an authority on it issued. Says whose it is.
    ///
    /// # Errors
    /// [`Error::CrlRefused`] if no root of this deployment signed it, or it is not valid now;
    /// [`Error::CrlRegression`] if a newer one is here.
    pub async fn install_root_crl(&self, der: Vec<u8>) -> Result<IssuerId, Error> {
        let inner = &self.inner;
        let view = CrlView::parse(&der).map_err(CrlRefused::from)?;
        let roots = inner.cas.roots();
        let root = roots.iter().find(|root| view.names(&root.issuer)).ok_or(CrlRefused::Issuer)?;
        view.check(&root.issuer, inner.now())?;
        if view.partial {
            return Err(CrlRefused::Issuer.into());
        }
        let (id, at) = (root.issuer.id(), view.this_update.plus(BACKDATE));
        let mark = Mark { number: view.number, this_update: view.this_update };
        let crl = published(&der, mark, at, view.next_update);
        let mut crls = inner.root_crls.newest.lock().await;
        if let Some(last) = inner.last_of_root(&mut crls, &id).await? {
            goes_forward(&last, crl.mark(), 0)?;
        }
        // It may take trust away, and whoever brought it is told if it is not kept.
        let crl = Arc::new(crl);
        let brought = ToRecord { issuer: id, shard: None, crl: crl.clone(), tells: true };
        let mut system = inner.system.lock().await;
        inner.write_crls(&mut system, &[brought], Much::AllReserved).await?;
        inner.serve_root_crl(&mut crls, id, crl);
        Ok(id)
    }
}

impl Running {
    /// The CRL of a root: made anew when half of its time is over, if its key is here.
    pub(super) async fn root_crl(&self, id: &IssuerId) -> Result<Arc<PublishedCrl>, Error> {
        let roots = self.cas.roots();
        let root = roots.into_iter().find(|root| root.issuer.id() == *id);
        let Root { issuer, key } = root.ok_or(Error::NotFound("CA"))?;
        let mut crls = self.root_crls.newest.lock().await;
        let last = self.last_of_root(&mut crls, id).await?;
        let now = self.now();
        let Some(key) = key else {
            return last.filter(|crl| crl.next_update > now).ok_or(Error::NotFound("CRL"));
        };
        if let Some(crl) = last.as_ref().filter(|crl| crl.fresh(now)) {
            return Ok(crl.clone());
        }
        match self.sign_root_crl(&issuer, &key, last.as_deref()).await {
            Ok(crl) => self.keep_root_crl(&mut crls, *id, crl).await,
            // While the key cannot be used, the last one does.
            Err(error) => last.filter(|crl| crl.next_update > now).ok_or(error),
        }
    }

    /// Has verifiers in this process know what the last CRL of each root says of the authorities below it.
    pub(crate) async fn load_root_crls(&self) -> Result<(), Error> {
        let mut crls = self.root_crls.newest.lock().await;
        for root in self.cas.roots() {
            let id = root.issuer.id();
            match self.last_of_root(&mut crls, &id).await? {
                Some(crl) => self.learn(id, &crl),
                // The others are signed anew.
                None if root.key.is_none() && self.mark_on_record(&id, None).await? != Mark::default() => {
                    self.damages
                        .note(format!("the CRL of root {id} is gone, or not the last one: install it again"));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn learn(&self, root: IssuerId, crl: &PublishedCrl) {
        if let Ok(view) = CrlView::parse(&crl.der) {
            self.live.replace(root, &RevokedSet::from_entries(view.revoked()));
        }
    }

    async fn last_of_root(
        &self,
        crls: &mut HashMap<IssuerId, Arc<PublishedCrl>>,
        id: &IssuerId,
    ) -> Result<Option<Arc<PublishedCrl>>, Error> {
        if let Some(crl) = crls.get(id)
            // Another process may have published one since.
            && (!self.is_shared() || self.mark_on_record(id, None).await?.number <= crl.number)
        {
            return Ok(Some(crl.clone()));
        }
        let row_key = key(id, None);
        let Some(row) = self.parts.state.get(&LogId::System, Kind::Crl, &row_key).await? else {
            return Ok(None);
        };
        let Some(crl) = self.published_row(id, None, &row_key, &row).await? else { return Ok(None) };
        self.root_crls.learn_end(*id, &crl);
        let crl = Arc::new(crl);
        crls.insert(*id, crl.clone());
        Ok(Some(crl))
    }

    async fn sign_root_crl(
        &self,
        issuer: &Issuer,
        key: &KeyRef,
        last: Option<&PublishedCrl>,
    ) -> Result<PublishedCrl, Error> {
        let signer = self.parts.keys.open(key).await?;
        let now = self.now();
        let on_record = self.mark_on_record(&issuer.id(), None).await?;
        let mark = last.map_or(on_record, |last| last.mark().max(on_record)).next(now);
        if let Some(last) = last {
            goes_forward(last, mark, 0)?;
        }
        let next_update = mark.until(now, ROOT_CRL_VALIDITY);
        let window = (mark.this_update, next_update);
        let der = crl::sign(issuer, &*signer, Coverage::Full, mark.number, &[], window).await?;
        Ok(published(&der, mark, now, next_update))
    }

    async fn keep_root_crl(
        &self,
        crls: &mut HashMap<IssuerId, Arc<PublishedCrl>>,
        id: IssuerId,
        crl: PublishedCrl,
    ) -> Result<Arc<PublishedCrl>, Error> {
        let crl = Arc::new(crl);
        self.record_crls(vec![ToRecord { issuer: id, shard: None, crl: crl.clone(), tells: false }]).await?;
        self.serve_root_crl(crls, id, crl.clone());
        Ok(crl)
    }

    fn serve_root_crl(
        &self,
        crls: &mut HashMap<IssuerId, Arc<PublishedCrl>>,
        id: IssuerId,
        crl: Arc<PublishedCrl>,
    ) {
        self.learn(id, &crl);
        self.root_crls.learn_end(id, &crl);
        crls.insert(id, crl);
    }
}

fn published(der: &[u8], mark: Mark, at: UnixTime, next_update: UnixTime) -> PublishedCrl {
    PublishedCrl {
        der: der.to_vec(),
        number: mark.number,
        at,
        this_update: mark.this_update,
        next_update,
        cursor: 0,
        content: Sha256::digest([]).into(),
        kept: Arc::new([]),
        entries: 0,
    }
}
