//! Names of variants as words: libraries that give an error no sentence show it by its name.

/// `BadSignature` as `bad signature`, without the fields after it.
pub(crate) fn of(variant: &str) -> String {
    let name = variant.split([' ', '(', '{']).next().unwrap_or_default();
    let mut words = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
