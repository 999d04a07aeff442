//! The facts of an event: all that a risk model may read, and all that survives erasure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{Event, EventKind, Name, Outcome};
use crate::scope::Action;

/// What an action can do to others, coarsely, from its verb and resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    /// Looks at something.
    Read,
    /// Changes something of the agent's own work.
    Write,
    /// Says something to somebody.
    Send,
    /// Moves value.
    Pay,
    /// Takes something away.
    Delete,
    /// Touches keys, passwords or rights.
    Rights,
}

impl Effect {
    /// The effect of `action`: one table, so that a log read anew gives the same facts.
    #[must_use]
    pub fn of(action: &Action) -> Self {
        let resource = action.resource().split('/').next().unwrap_or_default();
        match (action.verb(), resource) {
            ("read" | "list" | "get" | "auth", _) => Self::Read,
            (_, "credentials" | "keys" | "permissions" | "roles" | "users" | "profile") => Self::Rights,
            ("grant" | "share" | "invite" | "add", _) => Self::Rights,
            (_, "payments" | "transfers" | "orders" | "transactions") => Self::Pay,
            ("delete" | "remove" | "cancel", _) => Self::Delete,
            ("send" | "post", _) => Self::Send,
            (_, "email" | "messages" | "mail" | "channels") => Self::Send,
            _ => Self::Write,
        }
    }
}

/// A keyed 64-bit token of a name: equal names of one tenant have equal tokens, and without the
/// tenant's token key a token says nothing about the name. Tokens survive the erasure of details.
pub type Token = u64;

/// All that a risk model may read of an event. It is in the leaf, so replay sees the same facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// What kind of act.
    pub kind: EventKind,
    /// What it can do to others.
    pub effect: Effect,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the certificate's scope did not cover it.
    pub out_of_scope: bool,
    /// Whether an authentication failed.
    pub auth_failure: bool,
    /// floor(log2(minor units)) + 1 of the amount, 0 for an amount of nothing.
    pub amount: Option<u8>,
    /// Token of the action's text (not keyed: the action stands in the leaf in clear).
    pub action: Token,
    /// Token of the target.
    pub target: Option<Token>,
    /// Token of the counterparty.
    pub counterparty: Option<Token>,
    /// Token of the session.
    pub session: Option<Token>,
}

/// The key under which names of one tenant become tokens, as far as a MAC can be begun with it.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    /// Takes 32 random octets.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        // A block of the hash, as the MAC wants its key.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&block.into()))
    }

    /// The token of `name` in its role.
    #[must_use]
    pub fn token(&self, role: &str, name: &str) -> Token {
        let mut mac = self.0.clone();
        mac.update(role.as_bytes());
        mac.update(&[0]);
        mac.update(name.as_bytes());
        first_u64(&mac.finalize().into_bytes())
    }

    /// The facts of `event`.
    #[must_use]
    pub fn facts(&self, event: &Event) -> Facts {
        let token = |role, name: &Option<Name>| name.as_ref().map(|n| self.token(role, n.as_str()));
        Facts {
            kind: event.kind,
            effect: Effect::of(&event.action),
            outcome: event.outcome,
            out_of_scope: event.out_of_scope,
            auth_failure: event.auth_failure,
            amount: event.amount.map(|a| amount_bucket(a.minor)),
            action: action_token(&event.action),
            target: token("target", &event.target),
            counterparty: token("counterparty", &event.counterparty),
            session: token("session", &event.session),
        }
    }
}

impl core::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// floor(log2) + 1 of an amount, 0 for nothing: at most 64.
#[must_use]
pub fn amount_bucket(minor: u64) -> u8 {
    u8::try_from(u64::BITS - minor.leading_zeros()).unwrap_or(64)
}

/// The token of an action's text, the same for every tenant.
#[must_use]
pub fn action_token(action: &Action) -> Token {
    first_u64(&Sha256::digest(action.as_str().as_bytes()))
}

fn first_u64(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Amount;
    use crate::id::Serial;

    #[test]
    fn facts_keep_what_survives_erasure_and_nothing_else() {
        let mut event =
            Event::new(Serial::from_bytes([1; 16]).unwrap(), "write:payments".parse().unwrap(), Outcome::Ok);
        event.counterparty = Some("DE02 1203 0000 0000 2020 51".parse().unwrap());
        event.amount = Some(Amount { minor: 1_000, currency: "EUR".to_owned().try_into().unwrap() });
        let (a, b) = (TokenKey::new([1; 32]), TokenKey::new([2; 32]));
        assert_eq!(a.facts(&event), a.facts(&event));
        assert_ne!(a.facts(&event).counterparty, b.facts(&event).counterparty);
        assert_eq!((a.facts(&event).effect, a.facts(&event).amount), (Effect::Pay, Some(10)));
        assert_ne!(a.token("target", "x"), a.token("counterparty", "x"));
    }

    #[test]
    fn amounts_fall_into_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, u64::MAX].map(amount_bucket), [0, 1, 2, 2, 3, 64]);
    }
}
