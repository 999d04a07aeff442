//! Signed notes (c2sp.org/signed-note) with Ed25519 signatures.

use core::fmt;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use crate::crypto::PublicKey;
use crate::key::{KeyAlgorithm, Spki};
use crate::x509::oid;

const ED25519: u8 = 1;
/// Most octets of a note that is looked at.
pub const MAX_NOTE_LEN: usize = 64 * 1024;
const MAX_SIGNATURES: usize = 64;

/// Why a note is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a signed note.
    #[error("this is not a signed note")]
    Malformed,
    /// No signature by the key that is trusted.
    #[error("the note has no signature by the expected key; check the verifier key")]
    Unsigned,
    /// A signature under the trusted key's name that is not its.
    #[error("the note's signature does not verify; it was altered, or is not from this log")]
    Forged,
    /// Not a verifier key.
    #[error("this is not a verifier key: expected `name+hash+key`")]
    Key,
}

impl NoteError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "note_malformed",
            Self::Unsigned => "note_unsigned",
            Self::Forged => "note_forged",
            Self::Key => "verifier_key_malformed",
        }
    }
}

/// A key that signs notes: its name, and its Ed25519 public key.
#[derive(Debug)]
pub struct VerifierKey(NamedKey);

impl VerifierKey {
    /// Names an Ed25519 key.
    ///
    /// # Errors
    /// [`NoteError::Key`] if the name has spaces or `+`, or the key is not Ed25519.
    pub fn new(name: &str, spki: &Spki) -> Result<Self, NoteError> {
        NamedKey::new(ED25519, name, spki).map(Self)
    }

    /// Parses `name+hash+key`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(ED25519, text).map(Self)
    }

    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same key under another name.
    ///
    /// # Errors
    /// [`NoteError::Key`] if this is no name.
    #[cfg(feature = "service")]
    pub(crate) fn named(&self, name: &str) -> Result<Self, NoteError> {
        NamedKey::new(ED25519, name, &spki_of(&self.0.octets)?).map(Self)
    }

    /// The signature line over a text, from the 64 octets of its Ed25519 signature.
    #[must_use]
    pub(crate) fn signature_line(&self, signature: &[u8]) -> String {
        self.0.line(signature)
    }

    /// The text of a note that this key signed.
    ///
    /// # Errors
    /// [`NoteError`]; signatures by other keys are passed over.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = self.0.signatures(note)?;
        for signature in signatures {
            self.0.key.verify(text.as_bytes(), &signature).map_err(|_| NoteError::Forged)?;
        }
        Ok(text)
    }
}

/// `name+hash+key`
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ed25519 key under a name, for signatures of one type.
#[derive(Debug)]
pub(super) struct NamedKey {
    kind: u8,
    name: String,
    id: [u8; 4],
    octets: [u8; 32],
    pub(super) key: PublicKey,
}

impl NamedKey {
    pub(super) fn new(kind: u8, name: &str, spki: &Spki) -> Result<Self, NoteError> {
        let name_fits = !name.is_empty()
            && !name.contains('+')
            && !name.chars().any(|c| c.is_whitespace() || c.is_control());
        let octets = match (spki.algorithm(), spki.as_der().last_chunk::<32>()) {
            (KeyAlgorithm::Ed25519, Some(octets)) if name_fits => *octets,
            _ => return Err(NoteError::Key),
        };
        let key = PublicKey::parse(spki).map_err(|_| NoteError::Key)?;
        Ok(Self { kind, name: name.to_owned(), id: key_id(name, kind, &octets), octets, key })
    }

    pub(super) fn parse(kind: u8, text: &str) -> Result<Self, NoteError> {
        // The base64 of the key may hold a `+` itself.
        let mut parts = text.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = match Base64::decode_vec(key).as_deref() {
            Ok([found, octets @ ..]) if *found == kind && octets.len() == 32 => {
                Self::new(kind, name, &spki_of(octets)?)?
            }
            _ => return Err(NoteError::Key),
        };
        if crate::id::hex_encode(&key.id) == id { Ok(key) } else { Err(NoteError::Key) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn line(&self, signature: &[u8]) -> String {
        let blob: Vec<u8> = self.id.iter().chain(signature).copied().collect();
        format!("\u{2014} {} {}\n", self.name, Base64::encode_string(&blob))
    }

    /// The text of a note, and what stands there as signatures of this key, at least one.
    pub(super) fn signatures<'n>(&self, note: &'n str) -> Result<(&'n str, Vec<Vec<u8>>), NoteError> {
        let (text, lines) = split(note)?;
        let mut found = Vec::new();
        for (count, line) in lines.lines().enumerate() {
            let (name, id, signature) = parse_line(line).ok_or(NoteError::Malformed)?;
            if count >= MAX_SIGNATURES {
                return Err(NoteError::Malformed);
            }
            if name == self.name && id == self.id {
                found.push(signature);
            }
        }
        if found.is_empty() { Err(NoteError::Unsigned) } else { Ok((text, found)) }
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob: Vec<u8> = core::iter::once(self.kind).chain(self.octets).collect();
        write!(f, "{}+{}+{}", self.name, crate::id::hex_encode(&self.id), Base64::encode_string(&blob))
    }
}

/// Text with its final newline, and the signature lines: parted at the last empty line.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let control = |c: char| c.is_ascii_control() && c != '\n';
    if note.len() > MAX_NOTE_LEN || note.contains(control) || !note.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    match (note.get(..=at), note.get(at + 2..)) {
        (Some(text), Some(lines)) if !lines.is_empty() => Ok((text, lines)),
        _ => Err(NoteError::Malformed),
    }
}

fn parse_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = Base64::decode_vec(blob).ok()?;
    let (id, signature) = blob.split_first_chunk::<4>()?;
    (!name.is_empty() && !name.contains('+') && !signature.is_empty())
        .then(|| (name, *id, signature.to_vec()))
}

fn key_id(name: &str, kind: u8, octets: &[u8; 32]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([0x0a, kind])
        .chain_update(octets)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

pub(super) fn spki_of(octets: &[u8]) -> Result<Spki, NoteError> {
    let mut w = crate::x509::der::Writer::new();
    w.sequence(|s| _ = s.raw(oid::ED25519_IDENTIFIER).bit_string(octets));
    Spki::from_der(&w.into_bytes()).map_err(|_| NoteError::Key)
}
