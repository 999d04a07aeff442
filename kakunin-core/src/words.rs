//! Enumerations that are words in JSON, in requests, in options and in logs: each word is written once.

use core::fmt;

/// A word that an enumeration does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    pub(crate) known: &'static [&'static str],
}

impl UnknownWord {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "word_unknown"
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a word that is known here: write one of {}", self.known.join(", "))
    }
}

impl core::error::Error for UnknownWord {}

/// Defines an enumeration, the word of each variant beside it: for serde, `as_str`, `Display` and `FromStr` alike.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        pub enum $name {
            $($(#[$of])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::words::UnknownWord { known: &[$($word),+] }),
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    macro_rules! one_list {
        ($($of:ty),+ $(,)?) => {$({
            let words: Vec<_> = <$of>::ALL.iter().map(|one| one.as_str()).collect();
            for one in <$of>::ALL.iter().copied() {
                let word = one.as_str();
                assert_eq!(serde_json::to_value(one).unwrap(), word);
                assert_eq!(serde_json::from_value::<$of>(word.into()).unwrap(), one);
                assert_eq!((word.parse(), one.to_string().as_str()), (Ok(one), word));
                assert_eq!(words.iter().filter(|other| **other == word).count(), 1, "{word} comes twice");
            }
            let unknown = "Nobody".parse::<$of>().unwrap_err();
            assert_eq!((unknown.known, unknown.code()), (&words[..], "word_unknown"));
            assert!(serde_json::from_value::<$of>("Nobody".into()).is_err());
        })+};
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        use crate::agent::AgentState;
        use crate::event::{Attribution, EventKind, Outcome};
        use crate::key::KeyAlgorithm;
        use crate::revoke::Cause;
        use crate::risk::{Band, Family};
        one_list!(AgentState, Attribution, EventKind, Outcome, KeyAlgorithm, Cause, Band, Family);
        #[cfg(feature = "service")]
        {
            use crate::access::Role;
            use crate::issue::Profile;
            use crate::log::record::CaRole;
            use crate::service::DeliveryState;
            use crate::webhook::{Disabled, Scheme, WebhookEvent};
            one_list!(DeliveryState, Disabled, Scheme, WebhookEvent, Role, Profile, CaRole);
        }
        #[cfg(feature = "feed")]
        one_list!(crate::feed::Visibility);
    }
}
