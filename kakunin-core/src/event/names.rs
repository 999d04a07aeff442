//! Texts of an event, each with its own bound.

use crate::text;

/// Most octets of an event's details.
pub const MAX_DETAILS_LEN: usize = 16 * 1024;
/// Most octets of a target or counterparty, a session or an id of the reporter's.
pub const MAX_NAME_LEN: usize = 256;
/// Most octets of a name that stands in the leaf: tool, subject, correlation.
pub const MAX_SHORT_NAME_LEN: usize = 64;

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $error:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $name {
            /// As much of `text` as there is room for, where somebody chose it who would rather not be seen:
            /// what is too long is cut and ends with `…`; what hides text or moves it is written out, as `\u{202e}`.
            /// `None` if it is empty.
            #[must_use]
            pub fn lossy(text: &str) -> Option<Self> {
                let mut text = text::visible_prose(text).into_owned();
                if text.len() > $max {
                    text.truncate(text.floor_char_boundary($max - '…'.len_utf8()));
                    text.push('…');
                }
                (!text.is_empty()).then_some(Self(text))
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, &'static str> {
                if (1..=$max).contains(&text.len()) && !text.contains('\0') { Ok(Self(text)) } else { Err($error) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl core::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, &'static str> {
                text.to_owned().try_into()
            }
        }
    };
}

bounded_text!(
    /// A name in an event: 1 to [`MAX_NAME_LEN`] octets, no NUL.
    Name,
    MAX_NAME_LEN,
    "write 1 to 256 bytes without NUL"
);
bounded_text!(
    /// A name that stands in the leaf: 1 to [`MAX_SHORT_NAME_LEN`] octets, no NUL.
    ShortName,
    MAX_SHORT_NAME_LEN,
    "write 1 to 64 bytes without NUL"
);
bounded_text!(
    /// The details of an event: 1 to [`MAX_DETAILS_LEN`] octets, no NUL.
    Details,
    MAX_DETAILS_LEN,
    "write 1 to 16384 bytes without NUL"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_cut_and_say_so() {
        let lossy = |text: &str| ShortName::lossy(text).map(String::from);
        assert_eq!((lossy("transfer"), lossy("")), (Some("transfer".into()), None));
        assert_eq!(lossy("a\0b\u{202e}").unwrap(), r"a\u{0}b\u{202e}");
        assert_eq!(lossy(&"x".repeat(64)).unwrap(), "x".repeat(64));
        assert_eq!(lossy(&"x".repeat(65)).unwrap(), format!("{}…", "x".repeat(61)));
        for text in
            ["é".repeat(500), "\0".repeat(500), "\u{202e}".repeat(500), format!("x{}", "𝕏".repeat(99))]
        {
            let cut = lossy(&text).unwrap();
            assert!(cut.ends_with('…') && (58..=64).contains(&cut.len()) && ShortName::try_from(cut).is_ok());
        }
        assert_eq!(Name::lossy(&"x".repeat(300)).unwrap().as_str().len(), 256);
    }
}
