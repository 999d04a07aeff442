//! The deployment as verifiers in this process follow it.

use std::sync::Arc;

use crate::revoke::LiveRevocations;
use crate::service::effects::running::Kakunin;
use crate::trust::{IssuingCa, Trust, TrustSource};

impl TrustSource for Kakunin {
    fn generation(&self) -> u64 {
        self.authorities_made().into()
    }

    fn trust(&self) -> Trust {
        let place = self.place();
        let issuing = |ca: super::authorities::Authority| IssuingCa {
            der: ca.issuer.as_der().to_vec(),
            tenant: ca.tenant,
        };
        Trust {
            trust_domain: place.trust_domain.clone(),
            arc: place.arc.clone(),
            roots: self.roots().iter().map(|root| root.as_der().to_vec()).collect(),
            issuing: self.authorities().into_iter().map(issuing).collect(),
        }
    }

    fn revocations(&self) -> Arc<LiveRevocations> {
        Self::revocations(self)
    }
}
