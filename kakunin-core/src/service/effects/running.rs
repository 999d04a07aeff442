//! A deployment that runs: its engine, what its effects remember, and the handle that callers have.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::crl::{Publisher, Publishing, RootCrls};
use super::feed::Feed;
use super::sealing::Checking;
use super::tending::Tended;
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::{IssuerId, TrustDomain};
use crate::log::entry::LogId;
use crate::log::record::Control;
use crate::revoke::Said;
use crate::service::deployment::config::Config;
use crate::service::deployment::genesis;
use crate::service::deployment::load::load;
use crate::service::engine::cas::Ca;
use crate::service::engine::feed_key::FeedKey;
use crate::service::engine::inner::Inner;
use crate::service::engine::parts::Parts;
use crate::service::engine::system;
use crate::service::error::Error;

/// A deployment: agents, their certificates, what they do, and the log of it all.
///
/// Cheap to clone; every clone is the same deployment. Futures may be run on any executor.
#[derive(Clone, Debug)]
pub struct Kakunin {
    pub(crate) inner: Arc<Running>,
    pub(crate) by: Option<ShortName>,
    pub(crate) said: Said,
}

/// The engine, and what follows its logs.
#[derive(Debug)]
pub(crate) struct Running {
    engine: Inner,
    pub(crate) feed_key: FeedKey,
    followed: Mutex<HashMap<IssuerId, Arc<Followed>>>,
    pub(crate) root_crls: RootCrls,
    pub(crate) publishing: Mutex<Publishing>,
    pub(crate) tended: Mutex<Tended>,
    pub(crate) checking: async_lock::Mutex<Checking>,
}

/// An issuing CA, and what is made from its revocation log.
#[derive(Debug)]
pub(crate) struct Followed {
    ca: Arc<Ca>,
    pub(crate) crls: Publisher,
    /// What followers of it are given.
    pub(crate) feed: Feed,
}

// Whatever the engine can do, a deployment that runs can.
impl Deref for Running {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.engine
    }
}

impl Deref for Followed {
    type Target = Ca;

    fn deref(&self) -> &Ca {
        &self.ca
    }
}

impl Running {
    fn over(engine: Inner, feed_key: FeedKey) -> Self {
        Self {
            engine,
            feed_key,
            followed: Mutex::default(),
            root_crls: RootCrls::default(),
            publishing: Mutex::default(),
            tended: Mutex::default(),
            checking: async_lock::Mutex::default(),
        }
    }

    /// This CA, with what is made from its revocation log.
    pub(crate) fn followed(&self, ca: Arc<Ca>) -> Arc<Followed> {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let first =
            || Arc::new(Followed { ca: ca.clone(), crls: Publisher::default(), feed: Feed::default() });
        all.entry(ca.issuer.id()).or_insert_with(first).clone()
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
        let (engine, feed_key) = load(config, parts).await?;
        let inner = Running::over(engine, feed_key);
        for ca in inner.cas.all() {
            inner.load_revocations(&ca).await?;
            inner.lead.saw(ca.log.lock().await.last_time());
        }
        inner.load_root_crls().await?;
        let kakunin = Self { inner: Arc::new(inner), by: None, said: Said::default() };
        kakunin.inner.begin_seals().await?;
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
}
