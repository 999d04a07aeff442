//! Agents that get and renew their certificates themselves, with no API key: a join token for the first
//! one, the current key for every other.

use std::sync::Arc;

use super::certify::KeySource;
use super::keys::key_of;
use crate::access::{JoinToken, JoinTokenFacts, JoinTokenId, KeyCommitment, KeyHash};
use crate::agent::{AgentError, AgentState};
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::{AgentId, Serial, TenantId, hex_decode, hex_encode};
use crate::issue::{Certificate, Profile};
use crate::service::command::certify::Order;
use crate::service::command::enrol::{CreateJoinToken, MAX_JOIN_TOKEN_LIFE};
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::vault::{Row, row_key};
use crate::service::error::Error;
use crate::service::state::agent::itself;
use crate::service::state::certificates::Certificates;
use crate::service::state::rows::octets;
use crate::time::SECOND;
use crate::x509::extensions::ModelHash;

impl Kakunin {
    /// Gives the agent of a join token its certificate, for the key of a PKCS#10 request in DER or PEM. Of
    /// several calls with one token those for one key succeed, with one certificate: whoever redeemed it may send the
    /// same again while the token would live if nothing came of it, and for [`REPEATABLE`](crate::service::REPEATABLE) if the
    /// answer was lost. To every other key it is used up, also if signing fails.
    ///
    /// # Errors
    /// [`Error::JoinToken`] for a token that is unknown, used, void or too old; else as
    /// [`Tenant::certify`].
    pub async fn enrol(&self, token: &str, request: &[u8]) -> Result<(TenantId, Certificate), Error> {
        let inner = &self.inner;
        let (id, hash) = JoinToken::open(token).ok_or(Error::JoinToken)?;
        let stored = inner.parts.vault().get(&row_key(&id)).await?;
        let corrupt = || StoreError::Corrupt("a join token does not decode".into());
        let row: Row = serde_json::from_slice(&stored.ok_or(Error::JoinToken)?).map_err(|_| corrupt())?;
        let kept = KeyHash::from_bytes(hex_decode(&row.sha256).ok_or_else(corrupt)?);
        if !kept.matches(&hash) {
            return Err(Error::JoinToken);
        }
        let tenant = inner.tenant(&row.tenant).await?;
        let join = {
            let committed = inner.committed(&tenant).await?;
            let row = committed.agents.get(&row.agent).map(|entry| &entry.row);
            let tokens = row.map(|row| [row.join, row.redeemed.map(|redeemed| redeemed.facts)]);
            tokens.into_iter().flatten().flatten().find(|facts| facts.id == id).ok_or(Error::JoinToken)?
        };
        // The hash was exchanged: the record commits to another.
        if join.commitment.is_some_and(|commitment| commitment != KeyCommitment::new(id.as_bytes(), &hash)) {
            let what = format!("join token {id} was changed in the vault by somebody else; it is refused");
            inner.damages.note(what);
            return Err(Error::JoinToken);
        }
        let order = Order {
            agent: row.agent,
            profile: join.profile,
            by: ShortName::try_from(format!("join:{id}")).ok(),
            renews: None,
            join: Some(id),
        };
        // Its hash stays, for whoever sends the same again: the record says for which key.
        let issued = inner.fulfil(&tenant, &Arc::new(order), KeySource::Request(request)).await?;
        Ok((tenant.id.clone(), issued))
    }

    /// Renews a certificate at the word of its own key: see [`Tenant::renew`] and [`KeySource::Bound`].
    /// The profile stays, or becomes shorter with the agent's band. The agent attests its model; its scope
    /// is the registered one, and is not on record as approved anew. The same request gets the same answer. Not before a tenth of the certificate's life, and
    /// [`SELF_RENEWALS`](crate::service::SELF_RENEWALS) times an hour at the most: its owner is told once a day of more.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SelfRenewal`]; else as [`Tenant::renew`].
    pub async fn renew_own(
        &self,
        serial: &Serial,
        attested: &ModelHash,
        request: &[u8],
        binding: &[u8],
    ) -> Result<(TenantId, Certificate), Error> {
        let inner = &self.inner;
        let tenant = inner.serials.tenant(serial).ok_or(Error::NO_CERTIFICATE)?;
        let tenant = inner.tenant(&tenant).await?;
        let (agent, profile) = {
            let committed = inner.committed(&tenant).await?;
            let projection = &committed;
            let certificate = projection.certificates.get(serial).ok_or(Error::NO_CERTIFICATE)?;
            let agent = certificate.facts.agent;
            let entry = projection.agents.get(&agent).ok_or(Error::NotFound("agent"))?;
            let state = entry.row.agent.state;
            let newest = entry.row.agent.certificate.and_then(|newest| projection.certificates.get(&newest));
            let current = newest.is_some_and(|newest| newest.facts.serial == *serial)
                && inner.now() <= certificate.facts.not_after;
            // Whoever renewed with it may not have got the answer.
            let replaced = newest.is_some_and(|newest| newest.replaces == Some(*serial));
            if state != AgentState::Active || !(current || replaced) {
                return Err(AgentError::State { state, step: "renew with an old certificate" }.into());
            }
            (agent, certificate.profile)
        };
        let old = inner.replaced(&tenant, *serial, false).await?;
        let order = Order {
            agent,
            profile,
            by: itself(&agent),
            renews: Some((*attested, Arc::new(old))),
            join: None,
        };
        let renewed = inner.renew(&tenant, order, KeySource::Bound(request, binding)).await;
        if let Err(Error::SelfRenewal { .. }) = &renewed {
            match inner.tell_of_refused_renewal(&tenant, agent).await {
                // Its owner is told when there is room again.
                Err(Error::Store(StoreError::Full)) => {}
                told => told?,
            }
        }
        Ok((tenant.id.clone(), renewed?))
    }
}

impl Tenant {
    /// Makes a token with which an agent's process gets the agent's certificate, once, within `life`
    /// milliseconds. A token made before for the same agent is void; and this one once the API key is revoked that it is made with. Its text is in the answer and nowhere
    /// else.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Suspended`]; [`Error::Agent`] if the agent is retired; [`Error::JoinTokenLife`].
    pub async fn create_join_token(
        &self,
        agent: &AgentId,
        profile: Profile,
        life: u64,
    ) -> Result<(JoinTokenFacts, JoinToken), Error> {
        if !(SECOND..=MAX_JOIN_TOKEN_LIFE).contains(&life) {
            return Err(Error::JoinTokenLife);
        }
        let inner = &self.inner;
        let tenant = inner.tenant(&self.id).await?;
        let id = JoinTokenId::generate(inner.now(), &*inner.parts.entropy)?;
        let token = JoinToken::generate(&id, &*inner.parts.entropy)?;
        let hash = token.hash().ok_or(Error::JoinToken)?;
        let row = Row { sha256: hex_encode(hash.as_bytes()), tenant: tenant.id.clone(), agent: *agent };
        // The vault before the record that names it: what is on record works.
        inner.parts.vault().put(&row_key(&id), &octets(&row)?).await?;
        let (agent, key) = (*agent, key_of(&inner.api_keys, self.by.as_ref()));
        let commitment = KeyCommitment::new(id.as_bytes(), &hash);
        let create = CreateJoinToken { id, agent, profile, life, commitment, key };
        let decided = inner.decide(&tenant, self.by.clone(), create).await;
        match decided {
            Ok((facts, void)) => {
                inner.forget_join_tokens(void.as_slice()).await;
                Ok((facts, token))
            }
            Err(error) => {
                inner.forget_join_tokens(&[id]).await;
                Err(error)
            }
        }
    }
}
