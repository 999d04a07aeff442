//! Identifiers: parsed once, then carried as types.
//!
//! | file | has |
//! |---|---|
//! | `name.rs` | tenants, environments, trust domains |
//! | `uuid.rs` | agents, API keys and the like: UUIDv7 |
//! | `number.rs` | serial numbers, key identifiers |
//! | `entropy.rs` | where randomness comes from |
//! | `hex.rs`, `error.rs` | how they are written; why a text is none |

mod entropy;
mod error;
mod hex;
mod name;
mod number;
mod uuid;

#[cfg(feature = "service")]
pub use entropy::SystemEntropy;
pub use entropy::{Entropy, EntropyError};
pub use error::IdError;
pub use hex::{hex_decode, hex_encode};
pub use name::{Environment, TenantId, TrustDomain};
pub use number::{IssuerId, Serial, SerialNumber};
pub use uuid::{AgentId, ApiKeyId, ApprovalId, HaltId, JoinTokenId, WebhookId, uuid_v7};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[derive(Debug)]
    struct Same(u8);

    impl Entropy for Same {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn serials_are_positive_and_sixteen_octets() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let serial = Serial::generate(&Same(byte)).unwrap();
            assert!(serial.as_bytes()[0] & 0xc0 == 0x40, "{serial}");
            assert_eq!(serial.to_string().parse(), Ok(serial));
            assert_eq!(Serial::from_der_integer(serial.as_bytes()), Some(serial));
        }
        assert!(Serial::from_bytes([0; 16]).is_none() && Serial::from_bytes([0x80; 16]).is_none());
    }

    #[test]
    fn foreign_serials_are_one_to_twenty_octets_and_positive() {
        let read = SerialNumber::from_der_integer;
        let ours = Serial::generate(&Same(7)).unwrap();
        assert_eq!(read(ours.as_bytes()), Some(ours.into()));
        for (content, text) in [
            (&[1][..], "01"),
            (&[0, 0x80], "80"),
            (&[0x12, 0x34], "1234"),
            (&[0x7f; 20], &"7F".repeat(20)),
            (&[0, 0xff, 0xff], "FFFF"),
        ] {
            assert_eq!(read(content).unwrap().to_string(), text);
        }
        assert_eq!(read(&[0, 0, 5]), read(&[5]), "a value has one form");
        for bad in [&[][..], &[0], &[0; 20], &[1; 21], &[0x80; 20], &[&[0][..], &[0x80; 20]].concat()] {
            assert!(read(bad).is_none(), "{bad:x?}");
        }
        let padded = Serial::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]).unwrap();
        assert_eq!(read(&[1, 2]), Some(padded.into()));
        assert_eq!(padded.to_string(), "00000000000000000000000000000102");
    }

    #[test]
    fn serials_are_read_as_tools_print_them() {
        let serial: Serial = "0A1B2C3D4E5F60718293A4B5C6D7E8F9".parse().unwrap();
        assert_eq!("0a:1b:2c:3d:4e:5f:60:71:82:93:a4:b5:c6:d7:e8:f9".parse(), Ok(serial));
        for bad in ["", "0A1B", "0A1B2C3D4E5F60718293A4B5C6D7E8F9AA", "+A1B2C3D4E5F60718293A4B5C6D7E8F9"] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }

    #[test]
    fn agent_ids_are_uuid_v7() {
        let id = AgentId::generate(UnixTime::from_millis(0x0192_3456_789a), &Same(0xff)).unwrap();
        assert_eq!(id.to_string(), "01923456-789a-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("01923456-789A-7fff-bfff-ffffffffffff".parse::<AgentId>().is_err());
        assert!("01923456789a-7fff-bfff-ffffffffffff-".parse::<AgentId>().is_err());
    }

    #[test]
    fn labels_fit_a_spiffe_segment() {
        for good in ["a", "tnt_01", "production", "0-x"] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in ["", "_system", "A", "a/b", "a b", "é", "..", &"a".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("agents.example.org".parse::<TrustDomain>().is_ok());
        assert!("agents.example.org:80".parse::<TrustDomain>().is_err());
    }

    #[test]
    fn errors_quote_little_and_nothing_unprintable() {
        let error = ("x\u{7}\n".repeat(100)).parse::<TenantId>().unwrap_err();
        assert!(error.to_string().len() < 200 && !error.to_string().contains('\n'));
    }
}
