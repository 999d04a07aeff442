//! Object identifiers as DER content octets, and the AlgorithmIdentifiers that are compared whole.

use core::fmt;

// Subject attributes (RFC 5280, appendix A.1).
/// `id-at-commonName`, 2.5.4.3
pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// `id-at-serialNumber`, 2.5.4.5
pub const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
/// `id-at-organizationName`, 2.5.4.10
pub const ORGANIZATION: &[u8] = &[0x55, 4, 10];
/// `id-at-organizationalUnitName`, 2.5.4.11
pub const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];

// Extensions (RFC 5280, 4.2.1 and 5.2).
/// `id-ce-subjectKeyIdentifier`, 2.5.29.14
pub const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
/// `id-ce-keyUsage`, 2.5.29.15
pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
/// `id-ce-subjectAltName`, 2.5.29.17
pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
/// `id-ce-basicConstraints`, 2.5.29.19
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
/// `id-ce-cRLNumber`, 2.5.29.20
pub const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
/// `id-ce-cRLReasons`, 2.5.29.21
pub const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
/// `id-ce-invalidityDate`, 2.5.29.24
pub const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
/// `id-ce-deltaCRLIndicator`, 2.5.29.27
pub const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
/// `id-ce-issuingDistributionPoint`, 2.5.29.28
pub const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
/// `id-ce-certificateIssuer`, 2.5.29.29
pub const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
/// `id-ce-cRLDistributionPoints`, 2.5.29.31
pub const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
/// `id-ce-authorityKeyIdentifier`, 2.5.29.35
pub const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
/// `id-ce-extKeyUsage`, 2.5.29.37
pub const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// `id-pe-authorityInfoAccess`, 1.3.6.1.5.5.7.1.1
pub const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// `id-kp-serverAuth`, 1.3.6.1.5.5.7.3.1
pub const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// `id-kp-clientAuth`, 1.3.6.1.5.5.7.3.2
pub const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// `id-ad-caIssuers`, 1.3.6.1.5.5.7.48.2
pub const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 2];

/// `sha256WithRSAEncryption` with NULL parameters (RFC 4055, 5)
pub const SHA256_WITH_RSA_IDENTIFIER: &[u8] =
    &[0x30, 0x0d, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 0x05, 0];
/// `ecdsa-with-SHA256`, parameters absent (RFC 5758, 3.2)
pub const ECDSA_WITH_SHA256_IDENTIFIER: &[u8] = &[0x30, 0x0a, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// `id-Ed25519`, parameters absent, for keys and signatures alike (RFC 8410, 3)
pub const ED25519_IDENTIFIER: &[u8] = &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
/// `rsaEncryption` with NULL parameters (RFC 3279, 2.3.1)
pub const RSA_KEY_IDENTIFIER: &[u8] =
    &[0x30, 0x0d, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
/// `id-ecPublicKey` on P-256 (RFC 5480, 2.1)
pub const P256_KEY_IDENTIFIER: &[u8] = &[
    0x30, 0x13, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];

/// The arc under which the agent extensions stand, as OID content octets of `<arc>.1`.
#[derive(Clone, PartialEq, Eq)]
pub struct Arc {
    text: String,
    prefix: Vec<u8>,
}

/// The text is not an object identifier in dotted form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arc is not a dotted object identifier, such as 1.3.6.1.4.1.32473")]
pub struct ArcError;

impl Arc {
    /// Parses a dotted arc; components are below 2^32.
    ///
    /// # Errors
    /// [`ArcError`].
    pub fn parse(text: &str) -> Result<Self, ArcError> {
        let oid: const_oid::ObjectIdentifier = text.parse().map_err(|_| ArcError)?;
        let mut prefix = oid.as_bytes().to_vec();
        prefix.push(1);
        Ok(Self { text: text.to_owned(), prefix })
    }

    /// The arc in dotted form, without the `.1` of the extensions.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// OID content octets of `<arc>.1.<n>`, for `n` below 128.
    #[must_use]
    pub fn extension(&self, n: u8) -> Vec<u8> {
        let mut oid = self.prefix.clone();
        oid.push(n & 0x7f);
        oid
    }

    /// The `n` of `<arc>.1.<n>`, if `oid` stands directly under this arc.
    #[must_use]
    pub fn number_of(&self, oid: &[u8]) -> Option<u8> {
        match oid.strip_prefix(self.prefix.as_slice()) {
            Some(&[n]) if n < 0x80 => Some(n),
            _ => None,
        }
    }
}

impl Default for Arc {
    fn default() -> Self {
        // The documentation arc, 1.3.6.1.4.1.32473; a test compares it with its text.
        Self {
            text: crate::brand::DEFAULT_ARC.to_owned(),
            prefix: vec![0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 1],
        }
    }
}

impl fmt::Debug for Arc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arc({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_arc_is_its_text() {
        assert_eq!(Arc::parse(crate::brand::DEFAULT_ARC), Ok(Arc::default()));
        assert_eq!(Arc::default().number_of(&Arc::default().extension(4)), Some(4));
        assert!(Arc::parse("one.two").is_err());
    }
}
