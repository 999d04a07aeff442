//! Which token is meant: the attributes of RFC 7512, 2.3, that name one.

use std::fmt;

use cryptoki::context::Pkcs11;
use cryptoki::slot::{Slot, TokenInfo};

/// What a token is to be called. Whatever is given must match; labels are chosen by people and may be there
/// twice, serial numbers are the maker's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhichToken {
    /// Its label: `token` in a URI.
    pub label: Option<String>,
    /// Its serial number: `serial`.
    pub serial: Option<String>,
    /// Who made it: `manufacturer`.
    pub manufacturer: Option<String>,
    /// Its model: `model`.
    pub model: Option<String>,
    /// The slot it is in: `slot-id`. Slot numbers change when tokens come and go; the others do not.
    pub slot: Option<u64>,
}

/// Why none is opened.
pub(super) enum NotOne {
    /// No slot has such a token.
    None,
    /// Several have; each with its serial number and slot.
    Several(Vec<String>),
}

impl WhichToken {
    /// Whether nothing is given.
    pub(crate) const fn is_empty(&self) -> bool {
        self.label.is_none()
            && self.serial.is_none()
            && self.manufacturer.is_none()
            && self.model.is_none()
            && self.slot.is_none()
    }

    /// The one slot whose token is meant, and the token narrowed to its serial number, maker and model.
    pub(super) fn find(&self, calls: &Pkcs11) -> cryptoki::error::Result<Result<(Slot, Self), NotOne>> {
        let mut found: Vec<(Slot, TokenInfo)> = Vec::new();
        for slot in calls.get_slots_with_token()? {
            // A slot may have lost its token since.
            if let Ok(info) = calls.get_token_info(slot)
                && self.fits(slot, &info)
            {
                found.push((slot, info));
            }
        }
        Ok(match found.as_slice() {
            [] => Err(NotOne::None),
            [(slot, info)] => Ok((*slot, self.narrowed(info))),
            several => Err(NotOne::Several(
                several
                    .iter()
                    .map(|(slot, info)| {
                        format!("serial={} in slot-id={}", plain(info.serial_number()), slot.id())
                    })
                    .collect(),
            )),
        })
    }

    fn fits(&self, slot: Slot, info: &TokenInfo) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == plain(is));
        self.slot.is_none_or(|id| id == slot.id())
            && same(&self.label, info.label())
            && same(&self.serial, info.serial_number())
            && same(&self.manufacturer, info.manufacturer_id())
            && same(&self.model, info.model())
    }

    // Where it was plugged in may change while this runs; what it is may not.
    fn narrowed(&self, info: &TokenInfo) -> Self {
        let text = |text: &str| Some(plain(text).to_owned());
        Self {
            label: self.label.clone(),
            serial: text(info.serial_number()),
            manufacturer: text(info.manufacturer_id()),
            model: text(info.model()),
            slot: None,
        }
    }
}

/// PKCS #11 pads what it says of a token with blanks.
fn plain(text: &str) -> &str {
    text.trim_end_matches([' ', '\0'])
}

impl From<&str> for WhichToken {
    /// By its label.
    fn from(label: &str) -> Self {
        Self { label: Some(label.to_owned()), ..Self::default() }
    }
}

impl From<String> for WhichToken {
    fn from(label: String) -> Self {
        Self { label: Some(label), ..Self::default() }
    }
}

/// As a URI names it: `token=kakunin;serial=0123`.
impl fmt::Display for WhichToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot.map(|id| id.to_string());
        let all = [
            ("token", &self.label),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("slot-id", &slot),
        ];
        let given = all.into_iter().filter_map(|(name, value)| value.as_ref().map(|v| format!("{name}={v}")));
        f.write_str(&given.collect::<Vec<_>>().join(";"))
    }
}
