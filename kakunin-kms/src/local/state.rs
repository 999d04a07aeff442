//! Whether a key signs.

/// Whether a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Enabled,
    Disabled,
    Retired,
}

impl State {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::Retired => 2,
        }
    }

    pub(crate) const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Enabled),
            1 => Some(Self::Disabled),
            2 => Some(Self::Retired),
            _ => None,
        }
    }
}
