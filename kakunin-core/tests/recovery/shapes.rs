//! Rows that another version of this program wrote, under its seal and in a shape that is not read here.

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::service::{Damage, Kakunin, Parts};
use kakunin_core::store::state::{Change, Kind};
use pollster::block_on;
use sha2::Sha256;

use crate::world::{acme, config, live, look, parts};

/// As `engine/seal.rs` has it (ADR 15): whoever has the log key can seal.
struct SealKey(Hmac<Sha256>);

impl SealKey {
    fn of(parts: &Parts) -> Self {
        let first = block_on(parts.sink.read(&LogId::System, 0, 1)).unwrap();
        let Body::Control(control) = Record::open(&first[0]).unwrap().body else { panic!("an event") };
        let Control::DeploymentCreated { log_key, .. } = *control else { panic!("{control:?}") };
        let signer = block_on(parts.log_keys.open(&log_key)).unwrap();
        let signature = block_on(signer.sign(b"kakunin: the key of seals of stored state, 1")).unwrap();
        Self(Hmac::new_from_slice(signature.as_bytes()).unwrap())
    }

    fn mac(&self, domain: u8, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(&[domain]);
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap().to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Writes the value of each row of histories whose key ends so anew, and the seal over all of them.
fn reshape(parts: &Parts, part: &[u8], value: &[u8]) -> usize {
    let (key, log) = (SealKey::of(parts), LogId::Tenant(acme()));
    let (name, kind) = (log.to_string(), [Kind::Risk.code()]);
    let mut rows = block_on(parts.state.scan(&log, Kind::Risk, None, 1_000)).unwrap();
    let mut reshaped = 0;
    for (_, row) in rows.iter_mut().filter(|(key, _)| key.get(16..) == Some(part)) {
        *row = value.to_vec();
        reshaped += 1;
    }
    let sum = rows.iter().fold(0_u128, |sum, (row, value)| {
        let mac = key.mac(b'r', &[name.as_bytes(), &kind, row, value]);
        sum.wrapping_add(u128::from_be_bytes(mac[..16].try_into().unwrap()))
    });
    let seal = block_on(parts.state.get(&log, Kind::Seal, b"histories")).unwrap().unwrap();
    let head = &seal[..seal.len() - 32];
    let mac = key.mac(b's', &[name.as_bytes(), b"histories", head, &sum.to_be_bytes()]);
    let put = |kind, key, value| Change { kind, key, value: Some(value) };
    let mut changes: Vec<_> = rows.into_iter().map(|(key, value)| put(Kind::Risk, key, value)).collect();
    changes.push(put(Kind::Seal, b"histories".to_vec(), [head, &mac].concat()));
    block_on(parts.state.put(&log, &changes)).unwrap();
    reshaped
}

#[test]
fn histories_in_another_shape_are_folded_anew_and_are_no_damage() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    block_on(kakunin.snapshot()).unwrap();
    let before = look(&kakunin, &agents);
    drop(kakunin);
    // The history itself, what was used, what its events amount to, and how far it is folded.
    for part in [&b""[..], b"u", b"t", b"i"] {
        assert!(reshape(&parts, part, b"{\"another\":1}") >= 4, "{part:?}");
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        assert_eq!(look(&kakunin, &agents), before, "{part:?}");
        assert_eq!(kakunin.damage(), Damage::default());
        block_on(kakunin.snapshot()).unwrap();
    }
}
