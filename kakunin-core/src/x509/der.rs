//! DER, just as much as certificates need: a writer into one buffer, and a zero-copy reader.
//!
//! The reader refuses what BER allows and DER does not: indefinite and over-long lengths, integers
//! that are not minimal. It never recurses, so depth is bounded by its caller.

/// The bytes are not the DER that was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the DER that was expected")]
pub struct DerError;

/// Reads DER from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, if there is one.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Ends reading.
    ///
    /// # Errors
    /// If something is left.
    pub const fn finish(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError) }
    }

    /// The next element whatever its tag: tag, content, whole encoding.
    ///
    /// # Errors
    /// On anything that is not DER with a one-octet tag and a length below 2^32.
    pub fn any(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), DerError> {
        let (&tag, after) = self.rest.split_first().ok_or(DerError)?;
        let (&first, after) = after.split_first().ok_or(DerError)?;
        let (len, after) = match (first, after) {
            (0..=0x7f, _) => (usize::from(first), after),
            (0x81, &[a, ref after @ ..]) if a >= 0x80 => (usize::from(a), after),
            (0x82, &[a, b, ref after @ ..]) if a > 0 => (usize::from(a) << 8 | usize::from(b), after),
            (0x83, &[a, b, c, ref after @ ..]) if a > 0 => {
                (usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c), after)
            }
            // CRLs of a large issuer.
            (0x84, &[a, b, c, d, ref after @ ..]) if a > 0 => {
                (usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| DerError)?, after)
            }
            _ => return Err(DerError),
        };
        // Multi-octet tags do not occur in certificates.
        if tag & 0x1f == 0x1f {
            return Err(DerError);
        }
        let (content, rest) = after.split_at_checked(len).ok_or(DerError)?;
        let whole = self.rest.get(..self.rest.len() - rest.len()).ok_or(DerError)?;
        self.rest = rest;
        Ok((tag, content, whole))
    }

    /// Content of the next element, which must have `tag`.
    ///
    /// # Errors
    /// On another tag, or as [`Reader::any`].
    pub fn read(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        match self.any()? {
            (found, content, _) if found == tag => Ok(content),
            _ => Err(DerError),
        }
    }

    /// Whole encoding of the next element, which must have `tag`.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn raw(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        match self.any()? {
            (found, _, whole) if found == tag => Ok(whole),
            _ => Err(DerError),
        }
    }

    /// Content of the next element if it has `tag`, else nothing is read.
    ///
    /// # Errors
    /// As [`Reader::any`].
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, DerError> {
        if self.peek() == Some(tag) { self.read(tag).map(Some) } else { Ok(None) }
    }

    /// A reader of the content of the next SEQUENCE.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn sequence(&mut self) -> Result<Self, DerError> {
        self.read(0x30).map(Self::new)
    }

    /// Content of the next INTEGER, which must be minimal and not negative; a leading zero octet is
    /// taken off.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn positive_integer(&mut self) -> Result<&'a [u8], DerError> {
        match self.read(0x02)? {
            [0] => Ok(&[0]),
            &[0, ref rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => Ok(rest),
            content @ [1..=0x7f, ..] => Ok(content),
            _ => Err(DerError),
        }
    }

    /// Octets of the next BIT STRING, which must have no unused bits.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn bit_string(&mut self) -> Result<&'a [u8], DerError> {
        match self.read(0x03)? {
            [0, octets @ ..] => Ok(octets),
            _ => Err(DerError),
        }
    }

    /// The next BOOLEAN if there is one, which DER writes only when it is TRUE and the default FALSE.
    ///
    /// # Errors
    /// As [`Reader::read`], and on an encoded FALSE.
    pub fn default_false(&mut self) -> Result<bool, DerError> {
        match self.optional(0x01)? {
            None => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(DerError),
        }
    }
}

/// Writes DER into one buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Appends bytes that are DER already.
    pub fn raw(&mut self, der: &[u8]) -> &mut Self {
        self.out.extend_from_slice(der);
        self
    }

    /// Appends one element with this content.
    pub fn element(&mut self, tag: u8, content: &[u8]) -> &mut Self {
        self.out.push(tag);
        push_len(&mut self.out, content.len());
        self.raw(content)
    }

    /// Appends one constructed element whose content `write` makes.
    pub fn nested(&mut self, tag: u8, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::new();
        write(&mut inner);
        self.element(tag, &inner.out)
    }

    /// Appends a SEQUENCE.
    pub fn sequence(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.nested(0x30, write)
    }

    /// Appends an OBJECT IDENTIFIER from its content octets.
    pub fn oid(&mut self, content: &[u8]) -> &mut Self {
        self.element(0x06, content)
    }

    /// Appends a UTF8String.
    pub fn utf8(&mut self, text: &str) -> &mut Self {
        self.element(0x0c, text.as_bytes())
    }

    /// Appends a BIT STRING of whole octets.
    pub fn bit_string(&mut self, octets: &[u8]) -> &mut Self {
        let mut content = Vec::with_capacity(octets.len() + 1);
        content.push(0);
        content.extend_from_slice(octets);
        self.element(0x03, &content)
    }

    /// Appends an INTEGER from unsigned big-endian octets.
    pub fn unsigned(&mut self, octets: &[u8]) -> &mut Self {
        let start = octets.iter().position(|b| *b != 0).unwrap_or(octets.len());
        let digits = octets.get(start..).unwrap_or_default();
        let mut content = Vec::with_capacity(digits.len() + 1);
        if digits.first().is_none_or(|b| *b >= 0x80) {
            content.push(0);
        }
        content.extend_from_slice(digits);
        self.element(0x02, &content)
    }
}

fn push_len(out: &mut Vec<u8>, len: usize) {
    let bytes = len.to_be_bytes();
    let digits = bytes.get(bytes.iter().position(|b| *b != 0).unwrap_or(7)..).unwrap_or_default();
    if len >= 0x80 {
        // At most 8 octets of length on any platform, so this cannot overflow.
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
    }
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_trip_and_are_minimal() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000, 1 << 24] {
            let mut w = Writer::new();
            w.element(0x04, &vec![7; len]);
            let bytes = w.into_bytes();
            let mut r = Reader::new(&bytes);
            assert_eq!(r.read(0x04).unwrap().len(), len);
            assert_eq!(r.finish(), Ok(()));
        }
    }

    #[test]
    fn refuses_ber_that_is_not_der() {
        let indefinite: &[u8] = &[0x30, 0x80, 0, 0];
        let long_form_of_short: &[u8] = &[0x04, 0x81, 1, 0];
        let padded_length: &[u8] = &[0x04, 0x82, 0, 0x80];
        let high_tag: &[u8] = &[0x1f, 1, 0];
        let truncated: &[u8] = &[0x04, 5, 0];
        for bytes in [indefinite, long_form_of_short, padded_length, high_tag, truncated, &[0x04], &[]] {
            assert!(Reader::new(bytes).any().is_err(), "{bytes:x?}");
        }
        for integer in [&[0x02, 2, 0, 1][..], &[0x02, 1, 0x80], &[0x02, 0], &[0x02, 2, 0xff, 0xff]] {
            assert!(Reader::new(integer).positive_integer().is_err(), "{integer:x?}");
        }
        assert!(Reader::new(&[0x01, 1, 0]).default_false().is_err());
        assert!(Reader::new(&[0x01, 1, 1]).default_false().is_err());
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        let int = |octets: &[u8]| {
            let mut w = Writer::new();
            w.unsigned(octets);
            w.into_bytes()
        };
        assert_eq!(int(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(int(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(int(&[0]), [2, 1, 0]);
        assert_eq!(int(&[]), [2, 1, 0]);
    }
}
