//! Names of keys of payloads in the vault: `payload-key/<tenant>/<agent>/<month>/<since>/<id>`.

use super::form::KeyId;
use crate::id::{AgentId, TenantId, hex_encode};
use crate::month::Month;
use crate::service::state::erasures::Erasures;

/// What a key is for: events of an agent, of a month, recorded after what was erased last of that month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) agent: AgentId,
    pub(super) month: Month,
    /// Index of the record that erased it last; 0 if none did.
    pub(super) since: u64,
}

/// What names of all keys of an agent begin with.
pub(super) fn of_agent(tenant: &TenantId, agent: &AgentId) -> Vec<u8> {
    format!("payload-key/{tenant}/{agent}/").into_bytes()
}

impl Slot {
    /// What names of its keys begin with: there are more than one if two processes made one at once.
    pub(super) fn prefix(&self, tenant: &TenantId) -> Vec<u8> {
        let Self { agent, month, since } = self;
        format!("payload-key/{tenant}/{agent}/{month}/{since:016x}/").into_bytes()
    }

    pub(super) fn name(&self, tenant: &TenantId, id: &KeyId) -> Vec<u8> {
        let mut name = self.prefix(tenant);
        name.extend_from_slice(hex_encode(id).as_bytes());
        name
    }
}

/// Month of the key of this name, and since when it is used.
fn parts(name: &[u8]) -> Option<(Month, u64)> {
    let mut parts = core::str::from_utf8(name).ok()?.rsplit('/').skip(1);
    let since = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some((parts.next()?.parse().ok()?, since))
}

/// Whether what is on record destroys the key of this name, which is one of the agent whose erasures these are.
pub(super) fn is_destroyed(name: &[u8], erased: &Erasures) -> bool {
    parts(name).is_some_and(|(month, since)| erased.of(month, since).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::state::erasures::Erasure;

    #[test]
    fn a_name_says_what_destroys_it() {
        let (tenant, agent) = ("acme".parse().unwrap(), AgentId::from_bytes([7; 16]));
        let slot = |month: &str, since| Slot { agent, month: month.parse().unwrap(), since };
        let mut erased = Erasures::default();
        let month = |text: &str| text.parse::<Month>().unwrap();
        erased.add(Erasure {
            record: 10,
            from: month("2026-10"),
            to: month("2026-11"),
            at: month("2026-11"),
        });
        for (slot, destroyed) in [
            (slot("2026-09", 0), false),
            (slot("2026-10", 0), true),
            (slot("2026-11", 9), true),
            (slot("2026-11", 10), false),
            (slot("2026-12", 0), false),
        ] {
            let name = slot.name(&tenant, &[0xab; 8]);
            assert!(name.starts_with(&of_agent(&tenant, &agent)) && name.starts_with(&slot.prefix(&tenant)));
            assert_eq!(is_destroyed(&name, &erased), destroyed, "{slot:?}");
        }
        for other in [&b""[..], b"payload-key/acme", b"payload-key/acme/x/2026-13/0/ab", b"\xff/2026-10/0/ab"]
        {
            assert!(!is_destroyed(other, &erased));
        }
    }
}
