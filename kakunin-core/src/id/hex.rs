//! Base 16 (RFC 4648, 8).

use core::fmt;

/// Decodes exactly `N` octets of hex, either case.
#[must_use]
pub fn hex_decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    base16ct::mixed::decode(text, &mut out).ok().filter(|octets| octets.len() == N)?;
    Some(out)
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn hex_encode(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Writes at most 20 octets, without a detour by the heap.
pub(super) fn write_lower(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str(base16ct::lower::encode_str(bytes, &mut [0; 40]).map_err(|_| fmt::Error)?)
}

/// As [`write_lower`], in upper case.
pub(super) fn write_upper(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str(base16ct::upper::encode_str(bytes, &mut [0; 40]).map_err(|_| fmt::Error)?)
}
