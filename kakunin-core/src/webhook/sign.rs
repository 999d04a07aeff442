//! Signing a delivery, and checking one.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::scheme::Scheme;
use super::secret::WebhookSecret;
use crate::brand::HEADER_PREFIX;
use crate::id::hex_encode;
use crate::time::{MINUTE, SECOND, UnixTime};

/// How far the time of a delivery may be from the receiver's clock, in seconds.
const TOLERANCE: u64 = 5 * MINUTE / SECOND;

/// What is signed with a body.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'d> {
    /// Identifier of the message: the same with each attempt.
    pub id: &'d str,
    /// Its type.
    pub event: &'d str,
    /// When it is sent: another time with each attempt.
    pub at: UnixTime,
    /// The octets that are sent.
    pub body: &'d [u8],
}

/// Header fields that go with a delivery. While a secret is being replaced, `former` signs too; the vendor's schemes have
/// room for one signature, and it is the new secret's.
#[must_use]
pub fn sign(
    scheme: Scheme,
    secret: &WebhookSecret,
    former: Option<&WebhookSecret>,
    delivered: &Delivered<'_>,
) -> Vec<(String, String)> {
    let Delivered { id, event, at, body } = *delivered;
    let (seconds, millis) = (at.secs().to_string(), at.millis().to_string());
    let hex = |parts: &[&[u8]]| hex_encode(&mac(secret, parts));
    let signature = match scheme {
        Scheme::Standard => {
            let all = [secret].into_iter().chain(former);
            let one = |secret| format!("v1,{}", Base64::encode_string(&standard(secret, id, &seconds, body)));
            let signature = all.map(one).collect::<Vec<_>>().join(" ");
            return [
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", seconds),
                ("webhook-signature", signature),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        }
        Scheme::VendorServer => format!("sha256={}", hex(&[millis.as_bytes(), b".", body])),
        Scheme::VendorSdk => format!("t={seconds},v1={}", hex(&[seconds.as_bytes(), b".", body])),
        Scheme::VendorDocs => hex(&[body]),
    };
    let field = |name: &str, value: String| (format!("{HEADER_PREFIX}{name}").to_ascii_lowercase(), value);
    let mut fields = vec![
        field("signature", signature),
        field("event", event.to_owned()),
        field("delivery-id", id.to_owned()),
    ];
    if scheme == Scheme::VendorServer {
        fields.push(field("timestamp", millis));
    }
    fields
}

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Its time is no number, or more than five minutes from now.
    #[error("the delivery is too old, or of the future; check the clock, or refuse it")]
    Time,
    /// No signature of this secret is among those it carries.
    #[error("the delivery carries no signature of this secret; refuse it")]
    Signature,
}

/// Checks a delivery by Standard Webhooks, for a receiver in Rust: `id`, `timestamp` and `signature` are the header fields
/// `webhook-id`, `webhook-timestamp`, `webhook-signature`, and `body` the octets as they came.
///
/// ```
/// use kakunin_core::time::UnixTime;
/// use kakunin_core::webhook::{Scheme, WebhookSecret, verify};
///
/// let secret = WebhookSecret::parse(Scheme::Standard, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
/// let (id, timestamp) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553");
/// let signature = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
/// let body = br#"{"email":"test@example.com","username":"test_user"}"#;
/// let now = UnixTime::from_secs(1_649_367_600);
/// verify(&secret, id, timestamp, signature, body, now)?;
/// assert!(verify(&secret, id, timestamp, signature, b"{}", now).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SignatureError`].
pub fn verify(
    secret: &WebhookSecret,
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: UnixTime,
) -> Result<(), SignatureError> {
    let at: u64 = timestamp.parse().map_err(|_| SignatureError::Time)?;
    if at.abs_diff(now.secs()) > TOLERANCE {
        return Err(SignatureError::Time);
    }
    let made = standard(secret, id, timestamp, body);
    let one = |text: &str| Base64::decode_vec(text.strip_prefix("v1,")?).ok();
    let same = |other: Vec<u8>| {
        let difference = made.iter().zip(&other).fold(0, |all, (a, b)| all | (a ^ b));
        made.len() == other.len() && core::hint::black_box(difference) == 0
    };
    match signature.split(' ').filter_map(one).any(same) {
        true => Ok(()),
        false => Err(SignatureError::Signature),
    }
}

fn standard(secret: &WebhookSecret, id: &str, seconds: &str, body: &[u8]) -> [u8; 32] {
    mac(secret, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body])
}

fn mac(secret: &WebhookSecret, parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.key()) else {
        // A key of any length is one.
        return [0; 32];
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
    const LEGACY: &str = "whsec_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn field(fields: &[(String, String)], name: &str) -> Option<String> {
        fields.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        let official = r#"{"email":"test@example.com","username":"test_user"}"#;
        let ours = r#"{"type":"certificate.revoked","timestamp":"2026-11-23T08:00:00Z","data":{"serial_number":"0A1B2C3D4E5F60718293A4B5C6D7E8F9"}}"#;
        for (secret, id, at, body, signature) in [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                official,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                "msg_01JDKAKUNIN0000000000000001",
                1_795_420_800,
                ours,
                "v1,71Z//jp0jlO3YiP2p3fV6VNFF3q3EGAmI95juoTEtYY=",
            ),
        ] {
            let secret = WebhookSecret::parse(Scheme::Standard, secret).unwrap();
            let delivered = Delivered { id, event: "x", at: UnixTime::from_secs(at), body: body.as_bytes() };
            let fields = sign(Scheme::Standard, &secret, None, &delivered);
            assert_eq!(field(&fields, "webhook-signature").as_deref(), Some(signature));
            assert_eq!(field(&fields, "webhook-id").as_deref(), Some(id));
            assert_eq!(field(&fields, "webhook-timestamp"), Some(at.to_string()));
            assert_eq!(fields.len(), 3);
        }
    }

    #[test]
    fn the_vendors_three_schemes_are_its_own() {
        let secret = WebhookSecret::parse(Scheme::VendorServer, LEGACY).unwrap();
        let body =
            br#"{"event":"certificate.revoked","data":{"serial_number":"0A1B2C3D4E5F60718293A4B5C6D7E8F9"}}"#;
        let delivered = Delivered { id: "msg_1", event: "certificate.revoked", at: NOW, body };
        for (scheme, signature) in [
            (Scheme::VendorServer, "sha256=cb79ae7ed8153c00100341dcd1f608106f77e182339c5e1a55d019997e813ec9"),
            (
                Scheme::VendorSdk,
                "t=1795420800,v1=95c94d6019268687dcaa8ea904b2a77fddf6cc394cb359508f243bd8993b4f29",
            ),
            (Scheme::VendorDocs, "85763594564112fc8a3bc0c55c99ab9e92fd23e7dd5a8fbf4c3740b6a3fd1874"),
        ] {
            let fields = sign(scheme, &secret, None, &delivered);
            assert_eq!(field(&fields, "x-kakunin-signature").as_deref(), Some(signature));
            assert_eq!(field(&fields, "x-kakunin-event").as_deref(), Some("certificate.revoked"));
            assert_eq!(field(&fields, "x-kakunin-delivery-id").as_deref(), Some("msg_1"));
            let millis = field(&fields, "x-kakunin-timestamp");
            assert_eq!(millis, (scheme == Scheme::VendorServer).then(|| "1795420800000".to_owned()));
        }
    }

    #[test]
    fn while_a_secret_is_replaced_both_verify_and_nothing_else_does() {
        let of = |octet| {
            WebhookSecret::parse(Scheme::Standard, &format!("whsec_{}", Base64::encode_string(&[octet; 32])))
        };
        let (new, old, other) = (of(1).unwrap(), of(2).unwrap(), of(3).unwrap());
        let delivered = Delivered { id: "msg_1", event: "ping", at: NOW, body: b"{}" };
        let fields = sign(Scheme::Standard, &new, Some(&old), &delivered);
        let (signature, at) =
            (field(&fields, "webhook-signature").unwrap(), field(&fields, "webhook-timestamp").unwrap());
        let check = |secret, id, at: &str, body: &[u8], now| verify(secret, id, at, &signature, body, now);
        assert_eq!(check(&new, "msg_1", &at, b"{}", NOW), Ok(()));
        assert_eq!(check(&old, "msg_1", &at, b"{}", NOW.plus(5 * MINUTE)), Ok(()));
        for (refused, why) in [
            (check(&other, "msg_1", &at, b"{}", NOW), SignatureError::Signature),
            (check(&new, "msg_2", &at, b"{}", NOW), SignatureError::Signature),
            (check(&new, "msg_1", &at, b"{ }", NOW), SignatureError::Signature),
            (check(&new, "msg_1", "1795420801", b"{}", NOW), SignatureError::Signature),
            (check(&new, "msg_1", "now", b"{}", NOW), SignatureError::Time),
            (check(&new, "msg_1", &at, b"{}", NOW.plus(5 * MINUTE + SECOND)), SignatureError::Time),
            (check(&new, "msg_1", &at, b"{}", NOW.minus(5 * MINUTE + SECOND)), SignatureError::Time),
            (verify(&new, "msg_1", &at, "", b"{}", NOW), SignatureError::Signature),
            (verify(&new, "msg_1", &at, "v1, v1,AA== v1a,x", b"{}", NOW), SignatureError::Signature),
        ] {
            assert_eq!(refused, Err(why));
        }
    }
}
