//! Attributes of a URL, each known, there once, and decoded.

use std::collections::BTreeMap;

use super::error::KeyUrlError;

/// The attribute whose value is octets, and not text (RFC 7512, 2.3).
const OCTETS: &str = "id";

/// What a URL gives, by name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Attributes(BTreeMap<&'static str, Vec<u8>>);

impl Attributes {
    /// Reads `name=value` of each pair; empty ones are none.
    pub(crate) fn read<'a>(
        scheme: &'static str,
        known: &[&'static str],
        pairs: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, KeyUrlError> {
        let mut all = BTreeMap::new();
        for pair in pairs.into_iter().filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(KeyUrlError::Malformed)?;
            let name = known.iter().find(|k| **k == name).ok_or_else(|| KeyUrlError::Unknown {
                scheme,
                name: name.to_owned(),
                known: known.join(", "),
            })?;
            let value = if *name == OCTETS { octets(value)? } else { decoded(value)?.into_bytes() };
            if all.insert(*name, value).is_some() {
                return Err(KeyUrlError::Twice(name));
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn names(&self) -> String {
        self.0.keys().copied().collect::<Vec<_>>().join(";")
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.octets(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn octets(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn need(&self, names: &[&'static str]) -> Result<(), KeyUrlError> {
        match names.iter().find(|name| self.octets(name).is_none_or(<[u8]>::is_empty)) {
            Some(name) => Err(KeyUrlError::Value { name, needed: "needed" }),
            None => Ok(()),
        }
    }

    pub(crate) fn refuse_empty(&self, names: &[&'static str]) -> Result<(), KeyUrlError> {
        match names.iter().find(|name| self.octets(name).is_some_and(<[u8]>::is_empty)) {
            Some(name) => Err(KeyUrlError::Value { name, needed: "empty; give its value, or leave it out" }),
            None => Ok(()),
        }
    }

    /// The attributes of RFC 7512, 2.3, that name a token; one that is unknown is refused above, as 2.5 wants.
    pub(crate) fn check_token(&self) -> Result<(), KeyUrlError> {
        self.refuse_empty(&["token", "serial", "manufacturer", "model", "slot-id"])?;
        if !["token", "serial", "slot-id"].into_iter().any(|name| self.get(name).is_some()) {
            return Err(KeyUrlError::Value { name: "token", needed: "needed, or `serial`, or `slot-id`" });
        }
        self.slot()?;
        if self.get("pin-source").is_some() == self.get("pin-value").is_some() {
            let needed = "needed, or `pin-value`, and not both";
            return Err(KeyUrlError::Value { name: "pin-source", needed });
        }
        Ok(())
    }

    pub(crate) fn slot(&self) -> Result<Option<u64>, KeyUrlError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        };
        let needed = "a number, in decimal digits";
        let invalid = KeyUrlError::Value { name: "slot-id", needed };
        self.get("slot-id").map(|text| number(text).ok_or(invalid)).transpose()
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u32>, KeyUrlError> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=100_000).contains(n));
        let needed = "a number from 1 to 100,000";
        self.get(name).map(|text| number(text).ok_or(KeyUrlError::Value { name, needed })).transpose()
    }
}

pub(crate) fn decoded(text: &str) -> Result<String, KeyUrlError> {
    String::from_utf8(octets(text)?).map_err(|_| KeyUrlError::Malformed)
}

fn octets(text: &str) -> Result<Vec<u8>, KeyUrlError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
        octets.push(match octet {
            b'%' => {
                let (high, low) =
                    (digit().ok_or(KeyUrlError::Malformed)?, digit().ok_or(KeyUrlError::Malformed)?);
                u8::try_from(high * 16 + low).map_err(|_| KeyUrlError::Malformed)?
            }
            other => other,
        });
    }
    Ok(octets)
}
