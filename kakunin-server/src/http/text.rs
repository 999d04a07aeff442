//! Texts that somebody sent.

use kakunin_core::text::visible;

/// Whether this is a word, as kinds of events, records and members are.
pub(crate) fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The beginning of a text that somebody sent, as it can be shown.
pub(crate) fn shown(text: &str) -> String {
    visible(&text.chars().take(64).collect::<String>()).into_owned()
}
