//! The decision of the layer: who asks for what, whether that is shown, and whether it is allowed.

use std::sync::Arc;

use http::request::Parts;
use kakunin_core::event::Attribution;

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
use crate::dry_run::{DryRun, WouldDeny, claims_another};
use crate::guard::Guard;
use crate::possession::{Authorities, Nonces};
use crate::presented::{Presented, Shown};
use crate::target::plain;
use crate::verifier::Verifier;

/// The peer's certificates as its TLS handshake proved them, leaf first. Whoever ends TLS puts this into
/// the extensions of each request.
#[derive(Clone, Debug)]
pub struct PeerCertificates(pub Arc<[Vec<u8>]>);

/// Something that the host knows of a request.
pub(crate) type Ask<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

/// What a layer goes by.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) verifier: Verifier,
    pub(crate) guard: Guard,
    pub(crate) action: Ask<Option<String>>,
    pub(crate) proxy: Option<Ask<bool>>,
    pub(crate) us: Authorities,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) max_content: usize,
    pub(crate) dry_run: DryRun,
}

/// A request whose agent is shown, before its nonce is used up; or that a dry run lets through without.
pub(crate) struct Begun {
    parts: Parts,
    shown: Result<Shown, WouldDeny>,
    action: Option<String>,
}

impl Begun {
    /// Whether its content has to be read before it is handed on.
    pub(crate) fn is_signed(&self) -> bool {
        self.shown.as_ref().is_ok_and(Shown::is_signed)
    }
}

impl Gate {
    /// Who asks for what, as far as that is known without the content.
    pub(crate) fn begin(&self, parts: Parts) -> Result<Begun, Denied> {
        let action = (self.action)(&parts);
        let shown = match self.shown(&parts) {
            Ok(shown) => Ok(shown),
            Err((denied, agent, was_shown)) => {
                let denied = self.unproved(agent.as_ref(), action.as_deref(), denied);
                Err(self.spared(&parts, denied, agent.as_ref().filter(|_| was_shown))?)
            }
        };
        Ok(Begun { parts, shown, action })
    }

    /// Or why not, with the agent whose certificate it is, and whether that is shown, and the certificate does not stand.
    fn shown(&self, parts: &Parts) -> Result<Shown, (Denied, Option<VerifiedAgent>, bool)> {
        let now = self.guard.now();
        let peer = parts.extensions.get::<PeerCertificates>().map(|peer| &*peer.0);
        let from_proxy = self.proxy.as_ref().is_some_and(|is_proxy| is_proxy(parts));
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut presented = Presented::new(&parts.headers, (parts.method.as_str(), target), peer, from_proxy);
        if let Some(authority) = parts.uri.authority() {
            presented = presented.authority(authority.as_str());
        }
        let shown = presented
            .shown(&self.verifier, &self.us, now)
            .map_err(|(denied, agent)| (denied, agent, false))?;
        // What does not stand uses nothing up, so it may come again and is nobody's doing.
        if shown.is_signed() {
            let not = |denied, was_shown| (denied, Some(shown.agent().clone()), was_shown);
            shown.agent().recheck(now).map_err(|denied| not(denied, true))?;
            shown.unused(&self.nonces, now).map_err(|denied| not(denied, false))?;
        }
        Ok(shown)
    }

    /// Decides; `content` is what was read, of a signed request.
    pub(crate) fn finish(&self, begun: Begun, content: Result<&[u8], Denied>) -> Result<Parts, Denied> {
        let Begun { mut parts, shown, action } = begun;
        let shown = match shown {
            Ok(shown) => shown,
            Err(would) => {
                parts.extensions.insert(would);
                return Ok(parts);
            }
        };
        let agent = shown.agent().clone();
        let is_whole = content.is_ok();
        let proved = content.and_then(|content| shown.content(content));
        if let Err(denied) = proved.and_then(|()| shown.spend(&self.nonces, self.guard.now())) {
            let denied = self.unproved(Some(&agent), action.as_deref(), denied);
            // A part of the content would be taken for all of it.
            let would = if is_whole { self.spared(&parts, denied, None)? } else { return Err(denied) };
            parts.extensions.insert(would);
            return Ok(parts);
        }
        let permission = match &action {
            Some(action) => self.guard.authorize(&agent, action),
            None => {
                let denied = plain(&parts).err().unwrap_or(Denied::new(Code::ActionMalformed));
                Err(self.guard.refuse(Some(&agent), None, Attribution::Possession, denied))
            }
        };
        match permission {
            Ok(permission) => _ = parts.extensions.insert(permission),
            Err(denied) => _ = parts.extensions.insert(self.spared(&parts, denied, Some(&agent))?),
        }
        Ok(parts)
    }

    /// A refusal of a request that may be anybody's.
    fn unproved(&self, agent: Option<&VerifiedAgent>, action: Option<&str>, denied: Denied) -> Denied {
        self.guard.refuse(agent, action, Attribution::Asserted, denied)
    }

    /// What goes with a request that a dry run lets through, or the refusal again. `agent` is whose it was shown to be,
    /// though perhaps not that it was not sent before.
    fn spared(
        &self,
        parts: &Parts,
        denied: Denied,
        agent: Option<&VerifiedAgent>,
    ) -> Result<WouldDeny, Denied> {
        if self.dry_run.is_off() {
            return Err(denied);
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let of_tenant = agent.is_some_and(|agent| self.dry_run.of_tenant(agent.tenant()));
        let is_meant = of_tenant || self.dry_run.of_route(Some(parts.method.as_str()), target);
        if !is_meant || plain(parts).is_err() || claims_another(&parts.headers, agent) {
            return Err(denied);
        }
        Ok(WouldDeny::new(denied, agent, self.guard.now()))
    }
}
