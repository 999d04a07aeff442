//! The decision of the layer: who asks for what, whether that is shown, and whether it is allowed.

use std::sync::Arc;

use http::request::Parts;
use kakunin_core::event::Attribution;

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
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
}

/// A request whose agent is shown, before its nonce is used up.
pub(crate) struct Begun {
    parts: Parts,
    pub(crate) shown: Shown,
    action: Option<String>,
}

impl Gate {
    /// Who asks for what, as far as that is known without the content.
    pub(crate) fn begin(&self, parts: Parts) -> Result<Begun, Denied> {
        let now = self.guard.now();
        let action = (self.action)(&parts);
        let peer = parts.extensions.get::<PeerCertificates>().map(|peer| &*peer.0);
        let from_proxy = self.proxy.as_ref().is_some_and(|is_proxy| is_proxy(&parts));
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut presented = Presented::new(&parts.headers, (parts.method.as_str(), target), peer, from_proxy);
        if let Some(authority) = parts.uri.authority() {
            presented = presented.authority(authority.as_str());
        }
        let shown = match presented.shown(&self.verifier, &self.us, now) {
            Ok(shown) => shown,
            Err((denied, agent)) => return Err(self.unproved(agent.as_ref(), action.as_deref(), denied)),
        };
        // What does not stand uses nothing up, so it may come again and is nobody's doing.
        let early = if shown.is_signed() {
            shown.agent().recheck(now).and_then(|()| shown.unused(&self.nonces, now))
        } else {
            Ok(())
        };
        match early {
            Ok(()) => Ok(Begun { parts, shown, action }),
            Err(denied) => Err(self.unproved(Some(shown.agent()), action.as_deref(), denied)),
        }
    }

    /// Decides; `content` is what was read, of a signed request.
    pub(crate) fn finish(&self, begun: Begun, content: Result<&[u8], Denied>) -> Result<Parts, Denied> {
        let Begun { mut parts, shown, action } = begun;
        let agent = shown.agent().clone();
        let proved = content.and_then(|content| shown.content(content));
        if let Err(denied) = proved.and_then(|()| shown.spend(&self.nonces, self.guard.now())) {
            return Err(self.unproved(Some(&agent), action.as_deref(), denied));
        }
        let permission = match &action {
            Some(action) => self.guard.authorize(&agent, action)?,
            None => {
                let denied = plain(&parts).err().unwrap_or(Denied::new(Code::ActionMalformed));
                return Err(self.guard.refuse(Some(&agent), None, Attribution::Possession, denied));
            }
        };
        parts.extensions.insert(permission);
        Ok(parts)
    }

    /// A refusal of a request that may be anybody's.
    fn unproved(&self, agent: Option<&VerifiedAgent>, action: Option<&str>, denied: Denied) -> Denied {
        self.guard.refuse(agent, action, Attribution::Asserted, denied)
    }
}
