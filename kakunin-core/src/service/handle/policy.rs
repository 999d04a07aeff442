//! What a tenant decides over scores, and what its people say of them.

use crate::agent::Note;
use crate::id::{AgentId, ApprovalId};
use crate::log::record::Requested;
use crate::policy::{Policy, Verdict};
use crate::revoke::Cause;
use crate::service::command::approve::{Approve, RELEASED_AT_ONCE};
use crate::service::command::breaker::{Resolve, Resolving};
use crate::service::command::policy::{Replaces, SetPolicy};
use crate::service::command::verdict::{Condemn, Judge};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::own::InForce;

impl Tenant {
    /// Puts a policy in force: from here on scores are acted upon by it. One that is in force already changes nothing.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_core::policy::{Mode, Policy};
    /// # use kakunin_core::service::Replaces;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// let before = acme.policy().await?;
    /// let policy = Policy { mode: Mode::Warn, ..(*before.policy).clone() };
    /// let after = acme.set_policy(policy, Replaces::Since(before.since), None).await?;
    /// assert_eq!((before.since, after.policy.mode), (None, Mode::Warn));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Policy`]; [`Error::PolicyChanged`] if another one is in force than `replaces` says; [`Error::Waits`] if the
    /// one in force wants a second person.
    pub async fn set_policy(
        &self,
        policy: Policy,
        replaces: Replaces,
        reason: Option<Note>,
    ) -> Result<InForce, Error> {
        let set = SetPolicy { policy, replaces, reason, approved: false };
        match self.order(set.clone()).await {
            // What another person changes meanwhile voids the order.
            Err(Error::SecondPerson) => {
                let replaces = match set.replaces {
                    Replaces::Since(since) => since,
                    Replaces::Any => self.policy().await?.since,
                };
                let SetPolicy { policy, reason, .. } = set;
                self.ask(Requested::Policy { policy: Box::new(policy), replaces, reason }).await
            }
            done => done,
        }
    }

    /// Says what is to be made of an agent's score. [`Verdict::Dismiss`] takes the evidence out of it;
    /// [`Verdict::ConfirmSafe`] too, and has the agent's last suspicious acts learned as its work;
    /// [`Verdict::ConfirmCompromised`] takes the identity away, for [`Cause::KeyCompromise`] or
    /// [`Cause::RiskThresholdExceeded`] for example. The first two release what the breaker holds of the agent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired; [`Error::SecondPerson`] if that would release it and the
    /// policy wants a second person for that: release its certificate, which asks for one.
    pub async fn judge(
        &self,
        agent: &AgentId,
        verdict: Verdict,
        cause: Cause,
        reason: Note,
    ) -> Result<(), Error> {
        let judge = Judge { agent: *agent, verdict, reason, cause };
        match verdict {
            Verdict::ConfirmCompromised => self.order(Condemn(judge)).await,
            Verdict::Dismiss | Verdict::ConfirmSafe => self.order(judge).await,
        }
    }

    /// Releases everything that the breaker holds, with the evidence dismissed, and closes it. Gives how many agents
    /// that were.
    ///
    /// # Errors
    /// [`Error::NotTripped`]; [`Error::Waits`] if the policy wants a second person. Called again it goes on.
    pub async fn release_held(&self, reason: Note) -> Result<usize, Error> {
        match self.resolve(false, &reason, (false, None)).await {
            Err(Error::SecondPerson) => self.ask(Requested::ReleaseHeld { reason, tripped: None }).await,
            done => done,
        }
    }

    /// Takes everything away for good that the breaker holds, and closes it. Gives how many agents that were.
    ///
    /// # Errors
    /// [`Error::NotTripped`]. Called again it goes on.
    pub async fn confirm_held(&self, reason: Note) -> Result<usize, Error> {
        self.resolve(true, &reason, (false, None)).await
    }

    /// Of this trip, or of the one that there is; a later one waits for somebody to look.
    async fn resolve(
        &self,
        confirm: bool,
        reason: &Note,
        (approved, mut of): (bool, Option<u64>),
    ) -> Result<usize, Error> {
        let (mut all, most) = (0, RELEASED_AT_ONCE);
        loop {
            let resolve = Resolve { confirm, reason: reason.clone(), approved, of, most };
            let Resolving { agents, done, tripped } = self.order(resolve).await?;
            (all, of) = (all + agents, Some(tripped));
            if done {
                return Ok(all);
            }
        }
    }

    /// Gives a second person's word for an order that waits, and has it done. Gives what was done.
    ///
    /// # Errors
    /// [`Error::NotFound`] if none waits under that name, or it waited for too long; [`Error::SamePerson`],
    /// [`Error::Unnamed`]; and what the order itself gives, which waits further then.
    pub async fn approve(&self, id: &ApprovalId, reason: Option<Note>) -> Result<Requested, Error> {
        let order = self.order(Approve { id: *id, approved: true, reason }).await?;
        let order = order.ok_or(Error::NotFound("order"))?;
        if let Requested::ReleaseHeld { reason, tripped } = &order {
            match self.resolve(false, reason, (true, *tripped)).await {
                // It was done with the approval.
                Err(Error::NotTripped) => {}
                done => drop(done?),
            }
        }
        Ok(order)
    }

    /// Has an order that waits not be done; whoever gave it may take it back so.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn reject(&self, id: &ApprovalId, reason: Option<Note>) -> Result<(), Error> {
        self.order(Approve { id: *id, approved: false, reason }).await.map(drop)
    }

    /// Puts an order on record that waits for a second person.
    pub(super) async fn ask<T>(&self, order: Requested) -> Result<T, Error> {
        use crate::service::command::approve::Ask;
        let id = ApprovalId::generate(self.inner.now(), &*self.inner.parts.entropy)?;
        Err(Error::Waits(self.order(Ask { id, order }).await?))
    }
}
