//! What an agent of this fleet is expected to do before it has shown what it does.

use crate::event::Effect;

/// Frozen base rates of a fleet, in millionths of its events. They are the starting point of every
/// agent's own habits and never depend on another agent's live state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// Acts whose target or counterparty is new to the agent, by effect.
    pub fresh: ByEffect,
    /// Acts outside the scope of the certificate.
    pub out_of_scope: u32,
    /// Acts that failed to authenticate.
    pub auth_failures: u32,
    /// Acts that a right or a guard refused although the scope covers them.
    pub denials: u32,
    /// Acts that ran and failed.
    pub errors: u32,
    /// Largest usual amount, as the facts give it: floor(log2(minor units)) + 1.
    pub amount: u8,
    /// Events in an agent's busiest hours.
    pub busy_hour: u32,
}

/// One number for each [`Effect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named after the effects")]
pub struct ByEffect {
    pub read: u32,
    pub write: u32,
    pub send: u32,
    pub pay: u32,
    pub delete: u32,
    pub rights: u32,
}

impl ByEffect {
    /// The number for `effect`.
    #[must_use]
    pub const fn of(&self, effect: Effect) -> u32 {
        match effect {
            Effect::Read => self.read,
            Effect::Write => self.write,
            Effect::Send => self.send,
            Effect::Pay => self.pay,
            Effect::Delete => self.delete,
            Effect::Rights => self.rights,
        }
    }
}

/// For a fleet nothing is known of: assumes that an agent's first acts are mostly new to it, so that
/// an agent is not suspected for starting to work.
impl Default for Prior {
    fn default() -> Self {
        Self {
            fresh: ByEffect {
                read: 400_000,
                write: 300_000,
                send: 100_000,
                pay: 180_000,
                delete: 100_000,
                rights: 100_000,
            },
            out_of_scope: 20_000,
            auth_failures: 10_000,
            denials: 20_000,
            errors: 100_000,
            amount: 17,
            busy_hour: 60,
        }
    }
}

#[cfg(all(test, feature = "service"))]
mod tests {
    use super::*;

    #[test]
    fn round_trips_as_json_and_refuses_unknown_members() {
        let text = serde_json::to_string(&Prior::default()).unwrap();
        assert_eq!(serde_json::from_str::<Prior>(&text).unwrap(), Prior::default());
        assert!(serde_json::from_str::<Prior>(&text.replacen('{', "{\"x\":1,", 1)).is_err());
    }
}
