//! Keys that somebody else signs with, at the provider itself: the workload of an agent whose key is in a
//! KMS needs no credential of ours then, only its own.

use core::fmt;

/// Most octets of a principal.
const MAX_LEN: usize = 256;

/// Somebody as a key provider knows them, such as an IAM role: an Amazon Resource Name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(String);

/// Not one principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a principal is one ARN of a role or user, at most 256 characters, without wildcards")]
pub struct PrincipalError;

impl Principal {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Principal {
    type Error = PrincipalError;

    // `*` would be everybody, and a whole account is more than one workload.
    fn try_from(text: String) -> Result<Self, PrincipalError> {
        let named = |b: u8| b.is_ascii_graphic() && !b"*?\"\\".contains(&b);
        let mut parts = text.splitn(6, ':');
        let service = (parts.next(), parts.next(), parts.next());
        let resource = parts.nth(2).unwrap_or_default();
        let kinds = ["role/", "user/", "assumed-role/", "federated-user/"];
        let one = matches!(service, (Some("arn"), Some(_), Some("iam" | "sts")))
            && kinds.iter().any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        if one && text.len() <= MAX_LEN && text.bytes().all(named) {
            Ok(Self(text))
        } else {
            Err(PrincipalError)
        }
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a provider gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// Its name for the grant.
    pub id: String,
    /// What the principal presents while the grant is not known everywhere yet; it opens nothing to others.
    pub token: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_one_role_or_user() {
        let parse = |text: &str| Principal::try_from(text.to_owned());
        for good in [
            "arn:aws:iam::111122223333:role/agents/desk-7",
            "arn:aws-cn:iam::111122223333:user/bob",
            "arn:aws:sts::111122223333:assumed-role/desk/session",
        ] {
            assert_eq!(parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:s3:::role/x",
            "arn:aws:iam::1:role/a b",
            "arn:aws:iam",
        ] {
            assert_eq!(parse(bad), Err(PrincipalError), "{bad}");
        }
        assert!(parse(&format!("arn:aws:iam::1:role/{}", "x".repeat(MAX_LEN))).is_err());
    }
}
