//! Cosignatures with a time (c2sp.org/tlog-cosignature, v1): as of then, this was the log.

use core::fmt;

use super::note::{NamedKey, NoteError};
use crate::key::Spki;
use crate::time::UnixTime;

const ED25519_COSIGNATURE: u8 = 4;
/// Latest time there is, in POSIX seconds.
const MAX_SECONDS: u64 = i64::MAX.unsigned_abs();

/// A key that cosigns: its name, and its Ed25519 public key.
#[derive(Debug)]
pub struct CosignerKey(NamedKey);

impl CosignerKey {
    /// Names an Ed25519 key.
    ///
    /// # Errors
    /// [`NoteError::Key`] if the name has spaces or `+`, or the key is not Ed25519.
    pub fn new(name: &str, spki: &Spki) -> Result<Self, NoteError> {
        NamedKey::new(ED25519_COSIGNATURE, name, spki).map(Self)
    }

    /// Parses `name+hash+key`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(ED25519_COSIGNATURE, text).map(Self)
    }

    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The signature line over a text as of `time`, whose seconds count, from the 64 octets of the
    /// signature over [`message`].
    #[must_use]
    pub fn signature_line(&self, time: UnixTime, signature: &[u8]) -> String {
        self.0.line(&[&time.secs().to_be_bytes(), signature].concat())
    }

    /// The text of a note that this key cosigned, and as of when: the latest, if it did so more than once.
    ///
    /// # Errors
    /// [`NoteError`]; signatures by other keys are passed over.
    pub fn open<'n>(&self, note: &'n str) -> Result<(&'n str, UnixTime), NoteError> {
        let (text, cosignatures) = self.0.signatures(note)?;
        let mut latest = UnixTime::default();
        for cosignature in cosignatures {
            let (seconds, signature) = cosignature.split_first_chunk::<8>().ok_or(NoteError::Malformed)?;
            let seconds = u64::from_be_bytes(*seconds);
            if seconds > MAX_SECONDS {
                return Err(NoteError::Malformed);
            }
            let time = UnixTime::from_secs(seconds);
            self.0.key.verify(&message_at(text, seconds), signature).map_err(|_| NoteError::Forged)?;
            latest = latest.max(time);
        }
        Ok((text, latest))
    }
}

/// `name+hash+key`
impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a cosigner signs: the text of a note, and as of when.
#[must_use]
pub fn message(text: &str, time: UnixTime) -> Vec<u8> {
    message_at(text, time.secs())
}

fn message_at(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::note::{VerifierKey, spki_of};
    use super::*;
    use crate::log::checkpoint::Checkpoint;

    const COSIGNER: &str = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
    // Vectors C2 and C3: a checkpoint, its log's signature, and a witness's cosignature.
    const TEXT: &str = "kakunin.example/t/acme\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
    const LINES: &str = "\u{2014} kakunin.example/t/acme \
        csYxkkmWCQPrN7OXuymL3s1Jb9z30LEG+p1gfGtAux31AksF1nzdEadTGzD1KlnIfARB+eCJNGbU/ArgeKXwd3ZAqQ0=\n\
        \u{2014} witness.example/w1 IDJKvgAAAABpVbkADyA6DoNx1ztnPRBI4pWIF3kXyNJH8yJNAqGNKVC3La3vR+Qr7cfLwIJHPNwS4lub\
        7YnpM7gxsueD9XrrhGN5CQ==\n";

    fn note() -> String {
        format!("{TEXT}\n{LINES}")
    }

    #[test]
    fn a_cosigner_is_named_as_c2sp_says() {
        let octets: [u8; 32] =
            crate::id::hex_decode("29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7")
                .unwrap();
        let key = CosignerKey::new("witness.example/w1", &spki_of(&octets).unwrap()).unwrap();
        assert_eq!((key.to_string().as_str(), key.name()), (COSIGNER, "witness.example/w1"));
        assert_eq!(CosignerKey::parse(COSIGNER).unwrap().to_string(), COSIGNER);
        assert_eq!(VerifierKey::parse(COSIGNER).unwrap_err(), NoteError::Key, "of another type");
        assert_eq!(CosignerKey::parse(&COSIGNER.replace("abe+", "abf+")).unwrap_err(), NoteError::Key);
    }

    #[test]
    fn a_cosigned_checkpoint_says_as_of_when() {
        let key = CosignerKey::parse(COSIGNER).unwrap();
        let note = note();
        let (text, time) = key.open(&note).unwrap();
        assert_eq!((text, time), (TEXT, UnixTime::from_secs(1_767_225_600)));
        assert_eq!(Checkpoint::parse(text).unwrap().size, 8);
        // The line is the one that is made from its signature.
        let blob = LINES.lines().nth(1).and_then(|line| line.rsplit(' ').next()).unwrap();
        let blob = <base64ct::Base64 as base64ct::Encoding>::decode_vec(blob).unwrap();
        assert!(LINES.ends_with(&key.signature_line(time, &blob[12..])));
    }

    #[test]
    fn what_was_altered_is_refused() {
        let key = CosignerKey::parse(COSIGNER).unwrap();
        let cases = [
            (note().replace("\n8\n", "\n9\n"), NoteError::Forged),
            // The time is signed too.
            (note().replace("AABpVbkA", "AABpVbkB"), NoteError::Forged),
            (note().replace("IDJKvgAA", "IDJKvv//"), NoteError::Malformed),
            (note().replace("witness.example/w1", "witness.example/w2"), NoteError::Unsigned),
            (format!("{}\u{2014} witness.example/w1 IDJKvgAA\n", note()), NoteError::Malformed),
        ];
        for (note, expected) in cases {
            assert_eq!(key.open(&note).unwrap_err(), expected, "{note}");
        }
    }
}
