//! Integer logarithms and powers of two, in millionths of a bit.

/// One bit of evidence: it halves what trust is left.
pub(super) const BIT: u64 = 1_000_000;

/// `value * num / den` without overflow; a division by zero gives zero, an overflow the largest value.
pub(super) fn mul_div(value: u64, num: u64, den: u64) -> u64 {
    let product = u128::from(value) * u128::from(num);
    product.checked_div(u128::from(den)).map_or(0, |q| u64::try_from(q).unwrap_or(u64::MAX))
}

/// A sum of evidence, capped to what is stored.
pub(super) fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// How surprising something is that happens `part` times in `whole`: `log2(whole / part)`, the fraction
/// linear between powers of two. Nothing is more surprising than 20 bits.
pub(super) fn surprise(part: u64, whole: u64) -> u64 {
    let ratio = mul_div(whole.max(part), 1 << 20, part.max(1)).clamp(1 << 20, 1 << 40);
    let bits = u64::from(ratio.ilog2());
    (bits - 20) * BIT + mul_div(ratio - (1 << bits), BIT, 1 << bits)
}

/// `1 - 2^-bits` in millionths, by `2^-f = 1 - f (4 - f) / 6` for the fraction, which is exact at
/// both ends, falls throughout, and is off by 0.002 at most.
pub(super) fn doubt(bits: u64) -> u32 {
    let fraction = bits % BIT;
    let trust = BIT - mul_div(fraction, 4 * BIT - fraction, 6 * BIT);
    let shift = u32::try_from(bits / BIT).unwrap_or(u32::MAX);
    to_u32(BIT - trust.checked_shr(shift).unwrap_or(0))
}

/// What is left of `value` when it halves every `half_life`: never rises with `elapsed`.
pub(super) fn decayed(value: u32, elapsed: u64, half_life: u64) -> u32 {
    let half_life = half_life.max(1);
    let halvings = u32::try_from(elapsed / half_life).unwrap_or(u32::MAX);
    let whole = value.checked_shr(halvings).unwrap_or(0);
    whole - to_u32(mul_div(u64::from(whole / 2), elapsed % half_life, half_life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_exact_at_powers_of_two_and_never_rise() {
        assert_eq!([surprise(1, 1), surprise(1, 2), surprise(3, 24)], [0, BIT, 3 * BIT]);
        assert_eq!(surprise(0, 0), 0);
        assert_eq!(surprise(1, u64::MAX), 20 * BIT);
        assert_eq!(surprise(u64::MAX, 1), 0);
        assert!((1..2_000).all(|n| surprise(n + 1, 5_000) <= surprise(n, 5_000)));
    }

    #[test]
    fn doubt_rises_with_evidence_up_to_certainty() {
        assert_eq!([0, BIT, 2 * BIT, 3 * BIT].map(doubt), [0, 500_000, 750_000, 875_000]);
        assert_eq!(doubt(u64::MAX), 1_000_000);
        assert!((0..40_000).all(|n| doubt(n * 1_000) <= doubt((n + 1) * 1_000)));
    }

    #[test]
    fn decay_never_rises() {
        for value in [0, 1, 2, 3, 7, 999_999, u32::MAX] {
            assert!((0..5_000).all(|t| decayed(value, t + 1, 100) <= decayed(value, t, 100)));
            assert_eq!(decayed(value, u64::MAX, 100), 0);
        }
        assert_eq!(decayed(1_000, 100, 100), 500);
    }
}
