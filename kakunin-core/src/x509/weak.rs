//! RSA moduli that nobody should certify, though they have the right length.

/// Odd primes up to 167: those over which the fingerprint of CVE-2017-15361 was published. A modulus that
/// one of them divides is no product of two large primes either.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether a modulus, big-endian, has a small factor, or is of the form that a broken library made (ROCA):
/// modulo every small prime it is then a power of 65537.
pub(crate) fn is_weak(modulus: &[u8]) -> bool {
    let mut powers_everywhere = true;
    for prime in PRIMES {
        let residue = residue(modulus, prime);
        if residue == 0 {
            return true;
        }
        powers_everywhere &= is_power_of_65537(residue, prime);
    }
    powers_everywhere
}

fn residue(modulus: &[u8], prime: u32) -> u32 {
    modulus.iter().fold(0, |rest, octet| ((rest << 8) | u32::from(*octet)) % prime)
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    // The order of a group divides its size, so this comes back to 1 in time.
    for _ in 1..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 65537 to a power that fills 2,048 bits: what the fingerprint looks for, in its purest form.
    fn power_of_65537() -> Vec<u8> {
        let mut number = vec![1];
        for _ in 0..127 {
            let shifted = [number.as_slice(), &[0, 0]].concat();
            let padded = [&[0, 0], number.as_slice()].concat();
            let mut carry = 0;
            number = shifted
                .iter()
                .zip(&padded)
                .rev()
                .map(|(a, b)| {
                    let sum = u16::from(*a) + u16::from(*b) + carry;
                    carry = sum >> 8;
                    u8::try_from(sum & 0xff).unwrap()
                })
                .collect::<Vec<_>>();
            number.reverse();
            assert_eq!(carry, 0);
        }
        number
    }

    #[test]
    fn the_fingerprint_and_small_factors_are_found_and_others_pass() {
        let mut modulus = power_of_65537();
        assert!(modulus.len() >= 254 && is_weak(&modulus));
        // 2^2039 + 5 and neighbours: some have small factors, none has the fingerprint.
        let weak = |low: u8| {
            let mut other = vec![0; 255];
            (other[0], other[254]) = (0x80, low);
            is_weak(&other)
        };
        assert!(weak(3) != weak(5) || weak(7) != weak(9) || weak(11) != weak(13), "all alike");
        *modulus.last_mut().unwrap() ^= 2;
        assert!(!PRIMES.iter().all(|p| is_power_of_65537(residue(&modulus, *p), *p)));
    }
}
