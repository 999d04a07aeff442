//! `Signature-Input` and `Signature`: the part of structured fields (RFC 8941) that the profile has, in
//! the one serialization that RFC 8941, 4.1 gives it.
//!
//! Ours: crate `sfv` reads the whole RFC, and has to take what the profile refuses (12 of the spellings in the test below:
//! parameters twice, spaces, leading zeros; and base64 without its padding). Of two members of one name it keeps the last
//! one, and it gives values, where the text is what was signed.

use base64ct::{Base64, Encoding};
use kakunin_core::time::UnixTime;

use super::dictionary;
use super::profile::invalid;
use crate::denied::Denied;

/// Most octets of what is ours in either field.
const MAX_FIELD_LEN: usize = 2_048;
const MAX_COMPONENTS: usize = 8;

/// What a `Signature-Input` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Input<'a> {
    pub(super) label: &'a str,
    pub(super) components: Vec<&'a str>,
    /// The inner list with its parameters, as it was received.
    pub(super) params: &'a str,
    pub(super) created: UnixTime,
    pub(super) expires: Option<UnixTime>,
    pub(super) nonce: &'a str,
    pub(super) keyid: &'a str,
    pub(super) tag: &'a str,
    pub(super) alg: Option<&'a str>,
}

#[derive(Default)]
struct Params<'a> {
    created: Option<UnixTime>,
    expires: Option<UnixTime>,
    nonce: Option<&'a str>,
    keyid: Option<&'a str>,
    tag: Option<&'a str>,
    alg: Option<&'a str>,
}

/// Parses `label=("component" ...);name=value...`.
pub(super) fn parse_input(text: &str) -> Result<Input<'_>, Denied> {
    read_input(text).ok_or_else(|| invalid("Signature-Input"))
}

fn read_input(text: &str) -> Option<Input<'_>> {
    let (label, params) = labelled(text)?;
    let mut rest = params.strip_prefix('(')?;
    let mut components = Vec::new();
    loop {
        let (name, after) = string(rest)?;
        if components.len() == MAX_COMPONENTS || components.contains(&name) {
            return None;
        }
        components.push(name);
        match after.strip_prefix(' ') {
            Some(more) => rest = more,
            None => {
                rest = after.strip_prefix(')')?;
                break;
            }
        }
    }
    let mut found = Params::default();
    while !rest.is_empty() {
        rest = found.take(rest.strip_prefix(';')?)?;
    }
    Some(Input {
        label,
        components,
        params,
        created: found.created?,
        expires: found.expires,
        nonce: found.nonce?,
        keyid: found.keyid?,
        tag: found.tag?,
        alg: found.alg,
    })
}

impl<'a> Params<'a> {
    fn take(&mut self, text: &'a str) -> Option<&'a str> {
        let (name, value) = text.split_once('=')?;
        match name {
            "created" => time(&mut self.created, value),
            "expires" => time(&mut self.expires, value),
            "nonce" => quoted(&mut self.nonce, value),
            "keyid" => quoted(&mut self.keyid, value),
            "tag" => quoted(&mut self.tag, value),
            "alg" => quoted(&mut self.alg, value),
            _ => None,
        }
    }
}

fn quoted<'a>(slot: &mut Option<&'a str>, text: &'a str) -> Option<&'a str> {
    let (value, rest) = string(text)?;
    slot.replace(value).is_none().then_some(rest)
}

// Seconds: no sign, no leading zero, at most 11 digits.
fn time<'a>(slot: &mut Option<UnixTime>, text: &'a str) -> Option<&'a str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !(1..=11).contains(&digits.len()) || digits.starts_with('0') {
        return None;
    }
    slot.replace(UnixTime::from_secs(digits.parse().ok()?)).is_none().then_some(rest)
}

// A string without escapes: nothing in the profile needs one.
fn string(text: &str) -> Option<(&str, &str)> {
    let (value, rest) = text.strip_prefix('"')?.split_once('"')?;
    value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\').then_some((value, rest))
}

fn labelled(text: &str) -> Option<(&str, &str)> {
    if text.len() > MAX_FIELD_LEN {
        return None;
    }
    let (label, rest) = text.split_once('=')?;
    dictionary::is_key(label).then_some((label, rest))
}

/// Parses `label=:base64:` with the input's label; signatures with others are let be.
pub(super) fn parse_signature(text: &str, label: &str) -> Result<Vec<u8>, Denied> {
    let value = dictionary::labelled(text, label).filter(|value| value.len() <= MAX_FIELD_LEN);
    value.and_then(octets).ok_or_else(|| invalid("Signature"))
}

/// A byte sequence, `:base64:`.
pub(super) fn octets(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text.strip_prefix(':')?.strip_suffix(':')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"sig=("@method" "@path");created=1795420800;keyid="4A";nonce="n-0123456789abcdef";tag="t""#;

    #[test]
    fn the_one_serialization_is_read() {
        let input = parse_input(GOOD).unwrap();
        assert_eq!((input.label, input.components), ("sig", vec!["@method", "@path"]));
        assert_eq!(
            (input.created, input.expires, input.alg),
            (UnixTime::from_secs(1_795_420_800), None, None)
        );
        assert_eq!(format!("sig={}", input.params), GOOD);
        assert_eq!(parse_signature("sig=:AQID:", "sig").unwrap(), [1, 2, 3]);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let changed = [
            ("sig=", "sig ="),
            ("sig=", "Sig="),
            ("\"@method\" ", "\"@method\"  "),
            ("(\"@method\"", "( \"@method\""),
            ("\"@path\"", "\"@method\""),
            ("\"@path\"", "\"@path\";sf"),
            (";created", "; created"),
            ("=1795420800", "=01795420800"),
            ("=1795420800", "=-1"),
            ("=1795420800", "=1.5"),
            ("=1795420800", "=123456789012"),
            (";keyid", ";created=1;keyid"),
            (";keyid=\"4A\"", ""),
            ("\"4A\"", "4A"),
            ("\"4A\"", "\"4\\\"A\""),
            (";tag=\"t\"", ";tag=\"t\";x=1"),
            (";tag=\"t\"", ";tag=\"t\", b=(\"@method\")"),
            ("\"t\"", "\"t"),
            ("\"t\"", "\"\u{e9}\""),
        ];
        for (from, to) in changed {
            assert!(GOOD.contains(from));
            assert!(parse_input(&GOOD.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
        assert!(parse_input("").is_err() && parse_input(&"a".repeat(5_000)).is_err());
        for bad in [
            "sig=AQID",
            "sig=:AQI:",
            "other=:AQID:",
            "sig=:AQID:;x",
            "",
            "sig=:AQID:,sig=:AQID:",
            "sig=:AQID:,",
        ] {
            assert!(parse_signature(bad, "sig").is_err(), "{bad}");
        }
    }

    // What is accepted is the serialization of what was read; nothing makes parsing panic.
    #[test]
    fn no_text_makes_parsing_panic() {
        let mut seed = 9_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap()
        };
        let alphabet: Vec<char> = "\"();= :,@ab01\\\u{e9}\u{0}".chars().collect();
        for _ in 0..50_000 {
            let mut text: Vec<char> = GOOD.chars().collect();
            for _ in 0..=next() % 3 {
                let (at, c) = (next() % text.len(), alphabet[next() % alphabet.len()]);
                match next() % 3 {
                    0 => text[at] = c,
                    1 => text.insert(at, c),
                    _ => _ = text.remove(at),
                }
            }
            let text: String = text.into_iter().collect();
            if let Ok(input) = parse_input(&text) {
                assert_eq!(format!("{}={}", input.label, input.params), text);
            }
            if let Ok(member) = dictionary::ours(&text) {
                assert!(text.contains(member));
            }
            let _ = parse_signature(&text, "sig");
            let _ = octets(&text);
        }
    }
}
