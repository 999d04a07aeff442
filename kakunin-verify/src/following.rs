//! A verifier that learns by itself of the authorities that a deployment makes.

use core::fmt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kakunin_core::id::IssuerId;
use kakunin_core::key::Spki;
use kakunin_core::time::{SECOND, UnixTime};
use kakunin_core::trust::{IssuingCa, TrustSource};
use kakunin_core::x509::certificate::CertificateView;

use crate::anchor::TrustAnchor;
use crate::denied::Denied;
use crate::issuer::Issuer;
use crate::known::Known;
use crate::trust::Trust;

/// How long an issuing CA that cannot be relied on is left out, in milliseconds, before it is looked at again.
const AGAIN: u64 = 30 * SECOND;

/// Whom the host wants to be told of an issuing CA that is left out.
type Tell = Box<dyn Fn(&IssuerId, &Denied) + Send + Sync>;

/// The deployment that is followed, and how far.
pub(crate) struct Following {
    pub(crate) source: Box<dyn TrustSource>,
    pub(crate) tell: Option<Tell>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    generation: Option<u64>,
    /// Issuing CAs that cannot be relied on, and when that was seen: the clock is behind their beginning, or a root is not
    /// acceptable.
    left_out: HashMap<IssuerId, UnixTime>,
}

impl Following {
    pub(crate) fn new(source: Box<dyn TrustSource>) -> Self {
        Self { source, tell: None, seen: Mutex::default() }
    }

    /// Brings what is known level with the deployment, if that made an authority since, or if `asked` was left out a while
    /// ago.
    pub(crate) fn catch_up(&self, known: &Known, asked: Option<&IssuerId>, now: UnixTime) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // First the number: an authority that is made meanwhile is looked for once more.
        let generation = self.source.generation();
        let due = |at: &UnixTime| *at > now || now.since(*at) >= AGAIN;
        let again = asked.and_then(|id| seen.left_out.get(id)).is_some_and(due);
        if seen.generation == Some(generation) && !again {
            return;
        }
        let all = self.source.trust();
        let mut trust = Trust::clone(&known.trust.load());
        for root in &all.roots {
            // Nothing under one that is not acceptable leads to an anchor, and each such CA is told of. A root that was
            // certified anew under its key goes first, since paths end at the first that fits.
            if let Ok(anchor) = TrustAnchor::new(root, all.trust_domain.clone())
                && !trust.anchors.iter().any(|other| other.is(&anchor))
            {
                trust.anchors.insert(0, anchor);
            }
        }
        let issuing = all.issuing.iter().filter_map(|ca| Some((id_of(ca, &trust, now)?, ca)));
        let issuing: Vec<_> = issuing.collect();
        let bound = issuing.iter().filter_map(|(id, ca)| Some((*id, ca.tenant.clone()?)));
        trust.bindings.extend(bound);
        known.trust.store(Arc::new(trust));
        let trust = known.trust.load();
        for (id, ca) in issuing.into_iter().filter(|(id, _)| known.issuer(id).is_none()) {
            match Issuer::validate(&trust, &ca.der, &[], now) {
                Ok(issuer) => {
                    known.add(issuer);
                    seen.left_out.remove(&id);
                }
                // Agents of one CA are refused for its sake, and not all of them.
                Err(denied) => {
                    if seen.left_out.insert(id, now).is_none()
                        && let Some(tell) = &self.tell
                    {
                        tell(&id, &denied);
                    }
                }
            }
        }
        seen.generation = Some(generation);
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Following({:?})", self.source)
    }
}

/// The identifier of its key; `None` of one that has ended, or whose certificate is none.
fn id_of(ca: &IssuingCa, trust: &Trust, now: UnixTime) -> Option<IssuerId> {
    let view = CertificateView::parse(&ca.der, &trust.arc).ok()?;
    let id = Spki::from_der(view.spki).ok()?.key_id();
    (now.whole_secs() <= view.not_after).then_some(id)
}
