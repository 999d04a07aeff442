//! Names of variants as words: libraries that give an error no sentence show it by its name.

/// `BadSignature` as `bad signature`, and `UnknownCA` as `unknown ca`, without the fields after it.
pub(crate) fn of(variant: &str) -> String {
    let name = variant.split([' ', '(', '{']).next().unwrap_or_default();
    let (mut words, mut after_capital) = (String::new(), true);
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let begins = !after_capital || rest.peek().is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && begins && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
        after_capital = c.is_ascii_uppercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn each_word_stands_apart() {
        for (variant, words) in [
            ("BadSignature", "bad signature"),
            ("UnknownCA", "unknown ca"),
            ("UnknownPSKIdentity(7)", "unknown psk identity"),
            ("CertExpired { time: 1 }", "cert expired"),
            ("", ""),
        ] {
            assert_eq!(of(variant), words);
        }
    }
}
