//! Kinds of providers, and the attributes that each has.

/// A kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Software keys in a folder.
    Local,
    /// AWS KMS.
    AwsKms,
    /// A PKCS#11 token.
    Pkcs11,
}

impl Scheme {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::AwsKms => "awskms",
            Self::Pkcs11 => "pkcs11",
        }
    }

    pub(super) const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Local => &["key-file"],
            Self::AwsKms => &[
                "region",
                "deployment",
                "endpoint",
                "key-policy-file",
                "deletion-days",
                "create-rate",
                "manage-rate",
                "read-rate",
                "sign-rsa-rate",
                "sign-ecc-rate",
            ],
            Self::Pkcs11 => &[
                "token",
                "serial",
                "manufacturer",
                "model",
                "slot-id",
                "module-path",
                "pin-source",
                "pin-value",
                "x-sessions",
            ],
        }
    }
}
