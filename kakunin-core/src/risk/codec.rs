//! Fixed-width big-endian reading and writing; reading refuses what writing would not have written.

/// Writes into a buffer.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// Reads from what is left of a buffer.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

macro_rules! integers {
    ($($name:ident),*) => {
        impl Writer {
            $(pub(super) fn $name(&mut self, value: $name) {
                self.0.extend_from_slice(&value.to_be_bytes());
            })*
        }

        impl Reader<'_> {
            $(pub(super) fn $name(&mut self) -> Option<$name> {
                let (head, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Some($name::from_be_bytes(*head))
            })*
        }
    };
}

integers!(u8, u16, u32, u64);

impl Reader<'_> {
    /// Succeeds if nothing is left.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
