//! What an event is told from another one by that its reporter calls by the same name: a part of the SHA-256 of what is
//! on record of it, so that a replay comes to the same.

use sha2::{Digest, Sha256};

use crate::event::{Amount, Details, Event, EventKind, Name, Outcome, ShortName};
use crate::scope::Action;
use crate::time::UnixTime;

/// Octets of the first part.
const SAID: usize = 8;
/// Octets of the second.
const FOUND: usize = 4;
/// Octets of both.
pub(super) const LEN: usize = SAID + FOUND;

/// Two parts, since a report that names its agent alone leaves some to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of what was reported.
    said: [u8; SAID],
    /// Of the certificate, and whether that allows the action.
    found: [u8; FOUND],
}

/// All that is compared, but for `serial` and `out_of_scope`.
#[derive(serde::Serialize)]
struct Said<'e> {
    action: &'e Action,
    kind: EventKind,
    outcome: Outcome,
    auth_failure: bool,
    client_id: &'e Option<Name>,
    session: &'e Option<Name>,
    tool: &'e Option<ShortName>,
    target: &'e Option<Name>,
    counterparty: &'e Option<Name>,
    amount: &'e Option<Amount>,
    occurred_at: &'e Option<UnixTime>,
    correlation: &'e Option<ShortName>,
    subject: &'e Option<ShortName>,
    word: &'e Option<ShortName>,
    details: &'e Option<Details>,
}

impl Fingerprint {
    pub(crate) fn of(event: &Event) -> Self {
        let Event {
            serial,
            action,
            kind,
            outcome,
            out_of_scope,
            auth_failure,
            // Whoever took it in says these, and not its reporter.
            attribution: _,
            unnamed: _,
            unspecified: _,
            once: _,
            // How it is sent, and not what happened.
            stream: _,
            client_id,
            session,
            tool,
            target,
            counterparty,
            amount,
            occurred_at,
            correlation,
            subject,
            word,
            details,
        } = event;
        let said = Said {
            action,
            kind: *kind,
            outcome: *outcome,
            auth_failure: *auth_failure,
            client_id,
            session,
            tool,
            target,
            counterparty,
            amount,
            occurred_at,
            correlation,
            subject,
            word,
            details,
        };
        // Nothing of it can fail to be written.
        let said = serde_json::to_vec(&said).unwrap_or_default();
        let found = [serial.as_bytes().as_slice(), &[u8::from(*out_of_scope)]].concat();
        Self { said: first(&said), found: first(&found) }
    }

    /// Whether it is of the same event. Of one that named its agent alone, the certificate may be another one by now, and
    /// so what was outside of its scope.
    pub(super) fn is(&self, other: &Self, unnamed: bool) -> bool {
        self.said == other.said && (unnamed || self.found == other.found)
    }

    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut octets = [0; LEN];
        let (said, found) = octets.split_at_mut(SAID);
        said.copy_from_slice(&self.said);
        found.copy_from_slice(&self.found);
        octets
    }

    pub(super) fn decode(octets: &[u8; LEN]) -> Option<Self> {
        let (said, found) = octets.split_first_chunk()?;
        Some(Self { said: *said, found: found.try_into().ok()? })
    }
}

fn first<const N: usize>(octets: &[u8]) -> [u8; N] {
    let digest = Sha256::digest(octets);
    digest.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Serial;

    #[test]
    fn what_is_read_back_is_the_same_event() {
        let serial = |n| Serial::from_bytes([n; 16]).unwrap();
        let mut event = Event::new(serial(1), "read:a".parse().unwrap(), Outcome::Ok);
        event.details = Some("{\"a\":1.50}".parse().unwrap());
        event.occurred_at = Some(UnixTime::from_millis(1_795_420_800_123));
        event.amount = Some(Amount { minor: 1, currency: "EUR".to_owned().try_into().unwrap() });
        let print = Fingerprint::of(&event);
        let stored: Event = serde_json::from_slice(&serde_json::to_vec(&event).unwrap()).unwrap();
        let is_of = |other: &Event| print.is(&Fingerprint::of(other), other.unnamed);
        assert!(is_of(&stored));
        assert_eq!(Fingerprint::decode(&print.encode()), Some(print));
        let renewed = Event { serial: serial(2), out_of_scope: true, ..event.clone() };
        assert!(!is_of(&renewed) && is_of(&Event { unnamed: true, ..renewed.clone() }));
        assert!(!is_of(&Event { unnamed: true, auth_failure: true, ..renewed }));
    }
}
