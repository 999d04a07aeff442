//! Proofs from full subtrees, range proofs and `tlog-proof` texts: published vectors, and the recursive definitions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::ops::Range;

use ct_merkle::InclusionProof;
use kakunin_core::log::merkle::{
    Frontier, Hash, consistency_proof, inclusion_proof, leaf_hash, root, verify_inclusion,
};
use kakunin_core::log::note::{NoteError, VerifierKey};
use kakunin_core::log::proof::{ProofError, TlogProof};
use kakunin_core::log::range::{RangeProof, verify_range};
use kakunin_core::log::subtrees::{Stretch, Subtree, around, consistency, full, inclusion, roots};
use sha2::{Digest, Sha256};

fn n(value: usize) -> u64 {
    u64::try_from(value).unwrap()
}

fn counted(count: u32) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// The roots of full subtrees, and of nothing else, as a store has them.
fn stored(leaves: &[Hash]) -> impl Fn(Subtree) -> Option<Hash> {
    move |subtree| {
        let span = subtree.leaves()?;
        Some(root(leaves.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)?))
    }
}

fn of(spans: &[Range<u64>], leaves: &[Hash]) -> Vec<Hash> {
    roots(spans, stored(leaves)).unwrap()
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn proofs_from_full_subtrees_are_those_of_the_definition() {
    let leaves = counted(3_000);
    let mut random = Random(7);
    let small = (1..40).flat_map(|size| (0..size).map(move |index| (size, index)));
    let large: Vec<_> = (0..300)
        .map(|_| {
            let size = 1 + random.below(leaves.len());
            (size, random.below(size))
        })
        .collect();
    for (size, index) in small.chain(large) {
        let tree = &leaves[..size];
        assert_eq!(
            of(&inclusion(n(index), n(size)), tree),
            inclusion_proof(tree, index),
            "{index} in {size}"
        );
        assert_eq!(
            of(&consistency(n(index), n(size)), tree),
            consistency_proof(tree, index),
            "{index} to {size}"
        );
    }
    assert_eq!((inclusion(5, 5), consistency(0, 5), consistency(5, 5)), (vec![], vec![], vec![]));
    assert_eq!(inclusion(u64::MAX - 1, u64::MAX).len(), 64 - 1, "one of the last two of the largest tree");
}

#[test]
fn a_span_is_as_many_full_subtrees_as_it_has_bits() {
    let mut random = Random(11);
    for _ in 0..1_000 {
        let size = n(1 + random.below(1 << 30));
        let subtrees = full(&(0..size));
        assert_eq!(subtrees.len(), usize::try_from(size.count_ones()).unwrap());
        let ends: Vec<_> = subtrees.iter().map(|subtree| subtree.leaves().unwrap()).collect();
        assert!(
            ends.windows(2)
                .all(|pair| pair[0].end == pair[1].start && pair[0].end > pair[1].end - pair[1].start)
        );
        assert_eq!((ends[0].start, ends.last().unwrap().end), (0, size));
    }
    assert!(Subtree { level: 64, index: 0 }.leaves().is_none());
    assert!(Subtree { level: 63, index: 2 }.leaves().is_none());
}

/// What was appended at once knows all that proofs of it need, wherever it began.
#[test]
fn an_append_proves_what_it_appended() {
    let leaves = counted(700);
    let mut random = Random(13);
    for _ in 0..200 {
        let begin = random.below(400);
        let end = begin + 1 + random.below(300);
        let mut before = Frontier::default();
        leaves[..begin].iter().for_each(|leaf| before.push(*leaf));
        let stretch = Stretch::new(before, leaves[begin..end].to_vec());
        assert_eq!(stretch.leaves(), &leaves[begin..end]);
        let first = begin + random.below(end - begin);
        let last = first + 1 + random.below(end - first);
        let tree = &leaves[..end];
        let path = roots(&inclusion(n(first), n(end)), |subtree| stretch.root(subtree)).unwrap();
        assert_eq!(path, inclusion_proof(tree, first));
        let spans = around(&(n(first)..n(last)), n(end));
        let [left, right] =
            [&spans.left, &spans.right].map(|spans| roots(spans, |s| stretch.root(s)).unwrap());
        let size = (n(end), &root(tree));
        verify_range((n(first), &leaves[first..last]), (&left, &right), size).unwrap();
        for level in 0..10 {
            for index in 0..(n(end) >> level) {
                let subtree = Subtree { level, index };
                let known = stretch.root(subtree);
                assert!(known.is_none() || known == stored(tree)(subtree), "{subtree:?}");
                let ends = subtree.leaves().unwrap().end;
                assert!(known.is_some() || ends <= n(begin), "{subtree:?} ends in {begin}..{end}");
            }
        }
    }
}

#[test]
fn range_proofs_hold_for_their_range_and_for_nothing_else() {
    let leaves = counted(33);
    for size in 1..=leaves.len() {
        let (tree, signed) = (&leaves[..size], root(&leaves[..size]));
        for first in 0..size {
            for end in first + 1..=size {
                let spans = around(&(n(first)..n(end)), n(size));
                let (left, right) = (of(&spans.left, tree), of(&spans.right, tree));
                let holds = |first: usize, leaves: &[Hash], left: &[Hash], right: &[Hash]| {
                    verify_range((n(first), leaves), (left, right), (n(size), &signed)).is_ok()
                };
                let range = &tree[first..end];
                assert!(holds(first, range, &left, &right), "{first}..{end} of {size}");
                assert!(left.len() + right.len() <= 2 * 6);
                assert!(!holds(first + 1, range, &left, &right));
                assert!(!holds(first, &range[1..], &left, &right));
                let mut swapped = range.to_vec();
                swapped.reverse();
                assert!(swapped == range || !holds(first, &swapped, &left, &right));
                for more in [[&left[..], &[[0; 32]]].concat(), left.iter().skip(1).copied().collect()] {
                    assert!(more == left || !holds(first, range, &more, &right));
                }
                for more in [[&right[..], &[[0; 32]]].concat(), right.iter().skip(1).copied().collect()] {
                    assert!(more == right || !holds(first, range, &left, &more));
                }
                if end - first == 1 {
                    let mut both: Vec<_> = [left.clone(), right.clone()].concat();
                    let mut path = inclusion_proof(tree, first);
                    both.sort_unstable();
                    path.sort_unstable();
                    assert_eq!(both, path, "of one leaf it is the inclusion proof");
                }
            }
        }
    }
    assert!(verify_range((0, &[]), (&[], &[]), (0, &root(&[]))).is_err(), "nothing is no range");
    assert!(verify_range((u64::MAX, &leaves), (&[], &[]), (u64::MAX, &[0; 32])).is_err());
    assert!(verify_range((7, &leaves[..1]), (&[[0; 32]; 64], &[[0; 32]; 64]), (u64::MAX, &[0; 32])).is_err());
    assert_eq!(around(&(3..3), 9), around(&(3..10), 9), "neither is a range of it");
}

/// Vectors of `docs/AUDIT-LOG.md`: leaves 3 to 5 of the eight reference leaves.
#[test]
fn range_proof_vector() {
    let spans = around(&(3..6), 8);
    assert_eq!(
        (spans.left.as_slice(), spans.right.as_slice()),
        (&[0..2, 2..3][..], core::slice::from_ref(&(6..8)))
    );
    let (left, right) = (of(&spans.left, &reference()), of(&spans.right, &reference()));
    let proof = RangeProof { first: 3, left, right, checkpoint: NOTE.to_owned() };
    let json = concat!(
        r#"{"first":3,"left":["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=","ApjRIpBtz8EIkstTpzmS/FufST6kybrbJ7eRtBJ6f+c="],"#,
        r#""right":["yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA="],"checkpoint":"#
    );
    let written = serde_json::to_string(&proof).unwrap();
    assert!(written.starts_with(json), "{written}");
    assert_eq!(serde_json::from_str::<RangeProof>(&written).unwrap(), proof);
    let key = VerifierKey::parse(VKEY).unwrap();
    assert_eq!(proof.verify(&reference()[3..6], &key).unwrap().size, 8);
    assert_eq!(proof.verify(&reference()[2..5], &key).unwrap_err().code(), "proof_mismatch");
    let short = written.replacen("+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=", "AAAA", 1);
    assert!(serde_json::from_str::<RangeProof>(&short).is_err());
}

/// The eight reference leaves of transparency-dev/merkle.
fn reference() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect()
}

const LEAVES: [&[u8]; 8] =
    [b"", b"\0", b"\x10", b"\x20\x21", b"\x30\x31", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
const VKEY: &str = "kakunin.example/t/acme+72c63192+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const NOTE: &str = "kakunin.example/t/acme\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n\
    \u{2014} kakunin.example/t/acme csYxkkmWCQPrN7OXuymL3s1Jb9z30LEG+p1gfGtAux31AksF1nzdEadTGzD1KlnIfARB+eCJNGbU/ArgeKXwd3ZAqQ0=\n";
const COSIGNATURE: &str = "\u{2014} witness.example/w1 IDJKvgAAAABpVbkADyA6DoNx1ztnPRBI4pWIF3kXyNJH8yJNAqGNKVC3La3vR+Qr7cfLwIJHPNwS4lub7YnpM7gxsueD9XrrhGN5CQ==\n";

fn vector() -> String {
    format!(
        "c2sp.org/tlog-proof@v1\nindex 5\nvBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=\n\
         yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=\n037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=\n\n{NOTE}{COSIGNATURE}"
    )
}

#[test]
fn proof_vector_verifies_and_is_written_the_same() {
    let (text, key) = (vector(), VerifierKey::parse(VKEY).unwrap());
    let digest = kakunin_core::id::hex_encode(&Sha256::digest(text.as_bytes()));
    assert_eq!(digest, "5376812ef8bf12e3724b54618b2e03faa5318c6375357a27485b35d4def147fa");
    let proof = TlogProof::parse(&text).unwrap();
    assert_eq!((proof.index, &proof.extra, proof.to_text()), (5, &None, text.clone()));
    assert_eq!(proof.hashes, inclusion_proof(&reference(), 5));
    assert_eq!(proof.verify(LEAVES[5], &key).unwrap().size, 8);
    for other in [0, 4, 6, 7] {
        assert!(proof.verify(LEAVES[other], &key).is_err(), "{other}");
    }
    let extra = text.replacen("index 5", "extra aGVsbG8=\nindex 5", 1);
    let with = TlogProof::parse(&extra).unwrap();
    assert_eq!((with.extra.as_deref(), with.to_text()), (Some(&b"hello"[..]), extra));
    assert!(with.verify(LEAVES[5], &key).is_ok());
    let stranger =
        VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    let refused = proof.verify(LEAVES[5], &stranger.unwrap()).unwrap_err();
    assert_eq!((refused, refused.code()), (ProofError::Checkpoint(NoteError::Unsigned), "note_unsigned"));
}

/// What reads such a text must refuse: see c2sp.org/tlog-proof.
#[test]
fn what_is_no_proof_is_refused() {
    let (good, key) = (vector(), VerifierKey::parse(VKEY).unwrap());
    let refused = |text: &str| {
        let verified = TlogProof::parse(text).and_then(|proof| proof.verify(LEAVES[5], &key));
        verified.err().map(|error| error.code())
    };
    assert_eq!(refused(&good), None);
    let hash = "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=\n";
    let many = format!("index 5\n{}", hash.repeat(61));
    for (from, to, code) in [
        (hash, "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCg==\n", "proof_malformed"),
        (hash, "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA\n", "proof_malformed"),
        (hash, "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA= \n", "proof_malformed"),
        (hash, "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=\r\n", "proof_malformed"),
        (hash, "", "proof_mismatch"),
        (hash, "AAAAoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=\n", "proof_mismatch"),
        ("index 5\n", &many, "proof_malformed"),
        ("index 5", "index 8", "proof_mismatch"),
        ("index 5", "index 4", "proof_mismatch"),
        ("index 5", "index 18446744073709551615", "proof_mismatch"),
        ("index 5", "index 18446744073709551616", "proof_malformed"),
        ("index 5", "index 05", "proof_malformed"),
        ("index 5", "index +5", "proof_malformed"),
        ("index 5", "index ", "proof_malformed"),
        ("index 5\n", "", "proof_malformed"),
        ("index 5", "index 5\nextra aGVsbG8=", "proof_malformed"),
        ("index 5", "extra not base64\nindex 5", "proof_malformed"),
        ("index 5", "extra aGVsbG8=\nextra aGVsbG8=\nindex 5", "proof_malformed"),
        ("@v1", "@v2", "proof_malformed"),
        ("c2sp", "\nc2sp", "proof_malformed"),
        ("\n8\n", "\n7\n", "note_forged"),
    ] {
        assert!(good.contains(from), "{from}");
        assert_eq!(refused(&good.replacen(from, to, 1)), Some(code), "{from} -> {to}");
    }
    for after in ["x", "\n", "trailing\n", "\ntrailing\n", "\n\ntrailing\n"] {
        assert_eq!(refused(&format!("{good}{after}")), Some("note_malformed"), "{after:?}");
    }
    for cut in 0..good.len() - COSIGNATURE.len() {
        if let Some(text) = good.get(..cut) {
            assert!(refused(text).is_some(), "the first {cut} octets");
        }
    }
    assert_eq!(refused(&format!("{good}{}", COSIGNATURE.repeat(100))), Some("note_malformed"));
    assert_eq!(refused(&"\n\n".repeat(200_000)), Some("proof_malformed"));
}

/// `ct-merkle` decides: proofs from full subtrees verify there.
#[test]
fn ct_merkle_verifies_them() {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut leaves = Vec::new();
    for i in 0..500_u32 {
        let leaf = i.to_be_bytes().to_vec();
        leaves.push(leaf_hash(&leaf));
        tree.push(leaf);
        let index = (i / 3).into();
        let path = of(&inclusion(index, u64::from(i) + 1), &leaves);
        let proof = InclusionProof::<Sha256>::from_bytes(path.concat());
        tree.root().verify_inclusion(&(i / 3).to_be_bytes().to_vec(), index, &proof).unwrap();
        assert!(
            verify_inclusion(
                index,
                u64::from(i) + 1,
                &leaves[usize::try_from(i / 3).unwrap()],
                &path,
                &root(&leaves)
            )
            .is_ok()
        );
    }
}
