//! A deployment is opened, or made.

use std::sync::Arc;

use super::key_tasks::AtOnce;
use super::running::{Kakunin, Running};
use crate::error::StoreError;
use crate::id::TrustDomain;
use crate::log::entry::LogId;
use crate::log::record::Control;
use crate::revoke::Said;
use crate::service::deployment::config::Config;
use crate::service::deployment::genesis;
use crate::service::deployment::load::load;
use crate::service::engine::parts::Parts;
use crate::service::engine::system;
use crate::service::error::Error;
use crate::store::guard::GuardError;

impl Kakunin {
    /// Opens the deployment that these parts hold, or makes it if they are empty.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use kakunin_core::prelude::*;
    /// use kakunin_kms::local::LocalKeys;
    /// use std::sync::Arc;
    ///
    /// let mut config = Config::new("agents.example")?;
    /// config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// let kakunin = Kakunin::open(config, parts).await?;
    /// assert_eq!(kakunin.place().trust_domain.as_str(), "agents.example");
    /// assert_eq!(kakunin.authorities().len(), 1, "an issuing CA under a root");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Deployment`] if store, keys and configuration are not of one deployment, and what the
    /// parts say.
    pub async fn open(config: Config, parts: Parts) -> Result<Self, Error> {
        let (head, _) = parts.sink.head(&LogId::System).await?;
        if head.frontier.size() == 0 {
            if let Some(guard) = &parts.guard
                && guard.read().await?.is_some()
            {
                return Err(GuardError::Alone.into());
            }
            genesis::create(&config, parts.clone()).await?;
        }
        let (engine, feed_key) = load(config, parts).await?;
        engine.check_guard().await?;
        let kakunin = Self::over(Running::over(engine, feed_key)).await?;
        // Where that fails the follower says so, and tries again.
        let _ = kakunin.inner.keep_guard().await;
        Ok(kakunin)
    }

    /// What was loaded, as callers have it.
    pub(super) async fn over(inner: Running) -> Result<Self, Error> {
        inner.load_root_crls().await?;
        let kakunin = Self { inner: Arc::new(inner), by: None, said: Said::default() };
        kakunin.inner.commits.set_urgent(Box::new(AtOnce(Arc::downgrade(&kakunin.inner))));
        kakunin.inner.look_at_duty().await;
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
}
