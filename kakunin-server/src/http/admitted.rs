//! Who was let in to what was revoked.

use std::net::IpAddr;

use kakunin_core::id::IssuerId;
use kakunin_core::service::{Kakunin, Reader};

use super::caller::Caller;
use super::limits::network_of;
use super::places::Holder;

/// Who was let in.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(super) caller: Option<Caller>,
    pub(super) address: IpAddr,
}

impl Admitted {
    /// As the deployment knows it.
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.caller.as_ref().map_or(Reader::Anybody, |caller| Reader::Of(caller.tenant()))
    }

    /// Who takes the place of a stream: a tenant, or an address if no key says more.
    pub(crate) fn holder(&self) -> Holder {
        match &self.caller {
            Some(caller) => Holder::Tenant(caller.tenant().clone()),
            None => Holder::Address(network_of(self.address)),
        }
    }

    /// Whether it would be let in now: keys are revoked, and tenants change their mind.
    pub(crate) fn still(&self, kakunin: &Kakunin, issuer: &IssuerId) -> bool {
        let known = self.caller.as_ref().filter(|caller| caller.stands(kakunin));
        kakunin.may_read_revocations(issuer, known.map_or(Reader::Anybody, |c| Reader::Of(c.tenant())))
    }
}
