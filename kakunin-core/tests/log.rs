//! Merkle tree, signed notes and checkpoints against published vectors and other implementations.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use base64ct::{Base64, Encoding};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use kakunin_core::id::hex_decode;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::{
    Frontier, Hash, consistency_proof, empty_root, inclusion_proof, leaf_hash, root, verify_consistency,
    verify_inclusion,
};
use kakunin_core::log::note::{NoteError, VerifierKey};

fn h(hex: &str) -> Hash {
    hex_decode(hex).unwrap()
}

/// The eight reference leaves of transparency-dev/merkle.
fn reference() -> Vec<Hash> {
    let leaves: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    leaves.iter().map(|l| leaf_hash(l)).collect()
}

fn counted(n: u32) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn reference_roots() {
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves = reference();
    let mut frontier = Frontier::default();
    assert_eq!(frontier.root(), empty_root());
    for (n, expected) in roots.iter().enumerate() {
        frontier.push(leaves[n]);
        assert_eq!(root(&leaves[..=n]), h(expected));
        assert_eq!(frontier.root(), h(expected));
    }
}

#[test]
fn reference_proofs() {
    let leaves = reference();
    let path = inclusion_proof(&leaves, 5);
    let expected = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(path, expected.map(h));
    let expected = [
        "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
        "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "837dbb152e9b079010717e84e865da4ebc0fa198a806d59d31bf15accef22d0e",
    ];
    assert_eq!(consistency_proof(&leaves[..7], 3), expected.map(h));
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(consistency_proof(&leaves, 6), expected.map(h));
}

#[test]
fn counted_leaves() {
    let leaves = counted(600);
    assert_eq!(root(&leaves[..256]), h("78cd7db3bbfa785ffefa21e1c0aa7d4806c6e22ad65472710377ecb7e5a5a54e"));
    assert_eq!(root(&leaves[..257]), h("086ce24d72dd8347eef9afbf95829379f67cee8f5d23cece828a2dae88729c8d"));
    assert_eq!(root(&leaves), h("f3b67dafa5a6cc3d2bd25aec3043c661fd1af5c6c4e03499c84f0b84ad030c8c"));
    assert_eq!(root(&counted(70_000)), h("339ecf3ae716405fdc28cef164e45a785cade0d5bc3e1400a7a4d70d0b2dec9b"));
    let path = inclusion_proof(&leaves, 300);
    assert_eq!(path.len(), 10);
    assert_eq!(path[0], h("385f39c562a215dafb5d0a561b29b89ffdff5ae15226e7d6dac1a9cbd39ae6ff"));
    assert_eq!(path[9], h("3ca77daba80d8e027185b26ba0a194d0ff5b46f23a87e631e05b773aeda73ded"));
    let expected = [
        "f8d7f68a863bef1c98bbcb0fcf19b52ce611ea1ecd3ff54f4bbfa9f0291b99ca",
        "3ca77daba80d8e027185b26ba0a194d0ff5b46f23a87e631e05b773aeda73ded",
    ];
    assert_eq!(consistency_proof(&leaves, 256), expected.map(h));
}

/// Every index and every pair of sizes up to 40: what is proved verifies, and nothing beside it does.
#[test]
fn proofs_hold_for_what_they_prove_and_for_nothing_else() {
    let leaves = counted(40);
    for n in 1..=leaves.len() {
        let (tree, size) = (root(&leaves[..n]), u64::try_from(n).unwrap());
        for i in 0..n {
            let (path, index) = (inclusion_proof(&leaves[..n], i), u64::try_from(i).unwrap());
            assert!(verify_inclusion(index, size, &leaves[i], &path, &tree).is_ok(), "{i} in {n}");
            for wrong in (0..size + 2).filter(|w| *w != index) {
                assert!(
                    verify_inclusion(wrong, size, &leaves[i], &path, &tree).is_err(),
                    "{i} as {wrong} in {n}"
                );
            }
            altered(&path, |p| assert!(verify_inclusion(index, size, &leaves[i], p, &tree).is_err()));
        }
        for m in 0..=n {
            let (path, first) = (consistency_proof(&leaves[..n], m), u64::try_from(m).unwrap());
            let old = root(&leaves[..m]);
            assert!(verify_consistency((first, &old), (size, &tree), &path).is_ok(), "{m} to {n}");
            assert!(verify_consistency((first, &[7; 32]), (size, &tree), &path).is_err(), "{m} to {n}");
            altered(&path, |p| assert!(verify_consistency((first, &old), (size, &tree), p).is_err()));
        }
    }
}

fn altered(path: &[Hash], mut refuse: impl FnMut(&[Hash])) {
    refuse(&[path, &[[0; 32]]].concat());
    for i in 0..path.len() {
        let mut changed = path.to_vec();
        changed[i][31] ^= 1;
        refuse(&changed);
        changed.remove(i);
        refuse(&changed);
    }
}

/// ct-merkle on random trees: same roots, same proofs.
#[test]
fn ct_merkle_agrees() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..40 {
        let n = 2 + random(900);
        let mut tree = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let mut leaves = Vec::new();
        for _ in 0..n {
            let leaf: Vec<u8> = (0..random(60)).map(|_| u8::try_from(random(256)).unwrap()).collect();
            leaves.push(leaf_hash(&leaf));
            tree.push(leaf);
        }
        assert_eq!(tree.root().as_bytes().as_slice(), root(&leaves));
        let i = random(n);
        assert_eq!(tree.prove_inclusion(i).as_bytes(), inclusion_proof(&leaves, i).concat());
        let added = 1 + random(n - 1);
        assert_eq!(tree.prove_consistency(added).as_bytes(), consistency_proof(&leaves, n - added).concat());
    }
}

const VKEY: &str = "kakunin.example/t/acme+72c63192+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const NOTE: &str = "kakunin.example/t/acme\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n\
    \u{2014} kakunin.example/t/acme csYxkkmWCQPrN7OXuymL3s1Jb9z30LEG+p1gfGtAux31AksF1nzdEadTGzD1KlnIfARB+eCJNGbU/ArgeKXwd3ZAqQ0=\n";

#[test]
fn note_of_the_specification_opens() {
    let key =
        VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let note = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(key.open(note), Ok("This is an example message.\n"));
}

#[test]
fn checkpoint_vector_opens_and_is_written_the_same() {
    let key = VerifierKey::parse(VKEY).unwrap();
    assert_eq!(key.to_string(), VKEY);
    let checkpoint = Checkpoint::open(NOTE, &key).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (8, root(&reference())));
    let blob = Base64::decode_vec(NOTE.trim_end().rsplit(' ').next().unwrap()).unwrap();
    assert_eq!(checkpoint.to_note(&key, &blob[4..]), NOTE);
}

#[test]
fn altered_notes_are_refused() {
    let key = VerifierKey::parse(VKEY).unwrap();
    for i in 0..NOTE.len() {
        let mut octets = NOTE.as_bytes().to_vec();
        octets[i] ^= 1;
        if let Ok(text) = String::from_utf8(octets) {
            assert!(Checkpoint::open(&text, &key).is_err(), "byte {i}");
        }
    }
    let stranger = "\u{2014} witness.example/w1 IDJKvgAAAABpVbkADyA6DoNx1ztnPRBI4pWIF3kXyNJH8yJNAqGNKVC3La3vR+Qr7cfLwIJHPNwS4lub7YnpM7gxsueD9XrrhGN5CQ==\n";
    assert!(Checkpoint::open(&format!("{NOTE}{stranger}"), &key).is_ok(), "other signatures are passed over");
    let (text, _) = NOTE.split_once("\n\n").unwrap();
    assert_eq!(Checkpoint::open(&format!("{text}\n\n{stranger}"), &key), Err(NoteError::Unsigned));
    let (padded, extended) = (NOTE.replace("\n8\n", "\n08\n"), NOTE.replace("\n8\n", "\n8\nextension\n"));
    for bad in ["", "\n", "a\n\n", "a\n1\n", &padded, &extended] {
        assert!(Checkpoint::open(bad, &key).is_err(), "{bad:?}");
    }
}

/// The `signed_note` crate opens what we write.
#[test]
fn signed_note_agrees() {
    use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
    let verifiers: Vec<Box<dyn Verifier>> = vec![Box::new(StandardVerifier::new(VKEY).unwrap())];
    let note = Note::from_bytes(NOTE.as_bytes()).unwrap();
    let (verified, others) = note.verify(&VerifierList::new(verifiers)).unwrap();
    assert_eq!((verified.len(), others.len()), (1, 0));
}
