//! How to reach a token.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::which::WhichToken;

/// How to reach a token.
pub struct Pkcs11Config {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// Which token: its label alone will do while no other has it.
    pub token: WhichToken,
    /// The user's PIN. Wiped when dropped. It is tried on the one token that is meant, and on no other.
    pub pin: Zeroizing<String>,
    /// Sessions, each with a thread of its own: as many calls go to the token at once.
    pub sessions: usize,
}

impl fmt::Debug for Pkcs11Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Config({} {})", self.module.display(), self.token)
    }
}
