//! Proofs that a leaf is in a log, as one text that is checked offline (c2sp.org/tlog-proof).

use base64ct::{Base64, Encoding};

use super::checkpoint::Checkpoint;
use super::merkle::{BadProof, Hash, leaf_hash, verify_inclusion};
use super::note::{self, MAX_NOTE_LEN, NoteError, VerifierKey};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes of a proof.
const MAX_HASHES: usize = 63;
/// Most octets of a proof that is looked at: `extra`, 63 hashes, and a note.
const MAX_LEN: usize = 2 * MAX_NOTE_LEN;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not a proof.
    #[error("this is not a proof: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is refused.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    /// It does not lead from the leaf to the root that was signed.
    #[error(transparent)]
    Mismatch(#[from] BadProof),
}

impl ProofError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "proof_malformed",
            Self::Checkpoint(error) => error.code(),
            Self::Mismatch(_) => "proof_mismatch",
        }
    }
}

/// Proof that a leaf is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What its maker added. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf.
    pub index: u64,
    /// The way from the leaf to the root, the leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// Signed note over the log with the leaf in it.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text, which ends with the checkpoint as it was signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let extra = self.extra.as_ref().map(|octets| format!("extra {}\n", Base64::encode_string(octets)));
        let mut text = format!("{HEADER}\n{}index {}\n", extra.unwrap_or_default(), self.index);
        for hash in &self.hashes {
            text.push_str(&Base64::encode_string(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a proof. Nothing of it is checked yet but its form.
    ///
    /// # Errors
    /// [`ProofError::Malformed`]; [`ProofError::Checkpoint`] if it does not end in a signed note, and with it.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed;
        if text.len() > MAX_LEN {
            return Err(malformed("it is too long"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let mut line = lines.next();
        let extra = match line.and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                line = lines.next();
                Some(Base64::decode_vec(extra).map_err(|_| malformed("`extra` is no base64"))?)
            }
            None => None,
        };
        let index = line.and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal).ok_or(malformed("it says no index"))?;
        let hashes = lines.map(hash).collect::<Option<Vec<_>>>().ok_or(malformed("a hash is no hash"))?;
        if hashes.len() > MAX_HASHES {
            return Err(malformed("it has more than 63 hashes"));
        }
        note::check(checkpoint)?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that this leaf is in the log of `key` at [`TlogProof::index`], and gives the checkpoint that says so.
    ///
    /// # Errors
    /// [`ProofError::Checkpoint`], [`ProofError::Mismatch`].
    pub fn verify(&self, leaf: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofError> {
        let signed = Checkpoint::open(&self.checkpoint, key)?;
        verify_inclusion(self.index, signed.size, &leaf_hash(leaf), &self.hashes, &signed.root)?;
        Ok(signed)
    }
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

fn hash(line: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let whole = Base64::decode(line, &mut hash).is_ok_and(|octets| octets.len() == 32);
    whole.then_some(hash)
}
