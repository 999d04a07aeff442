//! What a leaf says of how its payload is kept, read without the rest: each entry is looked at when it is written and read.

use minicbor::Decoder;

use super::leaf::MAX_LEAF_LEN;
use crate::id::AgentId;
use crate::time::UnixTime;

/// Kind, time, agent and commitment of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) kind: u16,
    pub(crate) time: UnixTime,
    pub(crate) agent: Option<AgentId>,
    pub(crate) commitment: Option<[u8; 32]>,
}

impl Glance {
    /// Of a leaf; `None` for octets that are none. Whether they are all of one is for [`Leaf::decode`](super::leaf::Leaf::decode).
    pub(crate) fn at(leaf: &[u8]) -> Option<Self> {
        if leaf.len() > MAX_LEAF_LEN {
            return None;
        }
        let mut d = Decoder::new(leaf);
        let mut found = Self { kind: 0, time: UnixTime::default(), agent: None, commitment: None };
        for _ in 0..d.map().ok()?? {
            match d.u8().ok()? {
                1 => found.kind = d.u16().ok()?,
                2 => found.time = UnixTime::from_millis(d.u64().ok()?),
                3 => found.agent = Some(AgentId::from_bytes(d.bytes().ok()?.try_into().ok()?)),
                14 => {
                    found.commitment = Some(d.bytes().ok()?.try_into().ok()?);
                    break;
                }
                _ => d.skip().ok()?,
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf::Leaf;

    #[test]
    fn a_glance_says_what_the_leaf_says() {
        for (agent, commitment) in [(None, None), (Some(AgentId::from_bytes([7; 16])), Some([9; 32]))] {
            let time = UnixTime::from_millis(1_795_420_800_007);
            let leaf = Leaf { kind: 66, time, agent, serial: None, act: None, commitment };
            let octets = leaf.encode().unwrap();
            assert_eq!(Glance::at(&octets), Some(Glance { kind: 66, time, agent, commitment }));
            (0..octets.len()).for_each(|end| _ = Glance::at(&octets[..end]));
        }
        // The event of docs/AUDIT-LOG.md, whose commitment is not its last field.
        let event = "af0001011820021b000001a2076b440703501111111111111111111111111111111104504a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a0566757365722d37066a73656e645f6d6f6e6579076e77726974653a7061796d656e7473086774726163652d3109010a1a00064ab90b870300000bf61b0102030405060708070c820118290e5820582878fd69116efe32e03e82eab83ec9891aa4a2d4e353647dc45cc373f850d00f1b1122334455667788";
        let octets = base16ct::lower::decode_vec(event).unwrap();
        let (leaf, glance) = (Leaf::decode(&octets).unwrap(), Glance::at(&octets).unwrap());
        let said =
            Glance { kind: leaf.kind, time: leaf.time, agent: leaf.agent, commitment: leaf.commitment };
        assert_eq!(glance, said);
        assert!(glance.agent.is_some() && glance.commitment.is_some());
        for octets in [&[][..], &[0xff], &[0xbf, 0xff], &[0xa1, 0x0e, 0x40], &[0x80], &[0; 513]] {
            assert_eq!(Glance::at(octets), None, "{octets:?}");
        }
    }
}
