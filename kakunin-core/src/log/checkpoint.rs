//! Checkpoints (c2sp.org/tlog-checkpoint): origin, size and root, as the text of a signed note.

use base64ct::{Base64, Encoding};

use super::merkle::Hash;
use super::note::{NoteError, VerifierKey};

/// The head of a log, as its key signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Unique name of the log: `<host>/<tenant>/<epoch>`.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root))
    }

    /// The signed note, from the text's signature.
    #[must_use]
    pub fn to_note(&self, key: &VerifierKey, signature: &[u8]) -> String {
        format!("{}\n{}", self.to_text(), key.signature_line(signature))
    }

    /// Opens a note that `key` signed; its origin must be the key's name.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(key.open(note)?)?;
        if checkpoint.origin == key.name() { Ok(checkpoint) } else { Err(NoteError::Malformed) }
    }

    /// Parses the text of a checkpoint; extension lines are refused, as this product writes none.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let lines: Vec<&str> = body.split('\n').take(4).collect();
        let &[origin, size, root] = lines.as_slice() else {
            return Err(NoteError::Malformed);
        };
        let canonical = !size.is_empty()
            && size.bytes().all(|b| b.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let mut hash = [0; 32];
        let decoded = Base64::decode(root, &mut hash).map_err(|_| NoteError::Malformed)?.len();
        match size.parse() {
            Ok(size) if canonical && decoded == 32 && !origin.is_empty() => {
                Ok(Self { origin: origin.to_owned(), size, root: hash })
            }
            _ => Err(NoteError::Malformed),
        }
    }
}
