//! Amounts of money.

/// An amount of money in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Minor units, such as cents.
    pub minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// An ISO 4217 currency code: three upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let code: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_uppercase));
        code.map(Self).ok_or("write three upper-case letters, such as EUR")
    }
}

impl From<Currency> for String {
    fn from(code: Currency) -> Self {
        code.0.iter().copied().map(char::from).collect()
    }
}
