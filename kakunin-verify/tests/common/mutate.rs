//! Mutants of a good certificate: by octet, by DER node, by rule; most of them signed again, so that the
//! signature does not hide what else is wrong.

use kakunin_core::time::{DAY, HOUR};
use kakunin_core::x509::der::Reader;
use kakunin_core::x509::oid;

use super::*;

pub struct Mutant {
    pub kind: &'static str,
    pub der: Vec<u8>,
}

pub fn mutant(world: &World, random: &mut Random) -> Mutant {
    let good = world.leaf();
    let key = &world.issuing.key;
    let (kind, der) = match random.below(10) {
        0 | 1 => ("octets of the signed certificate", octets(good.sign(key), random)),
        2 | 3 => ("octets, signed again", assemble(&octets(good.tbs(), random), &good.algorithm, key)),
        4..=6 => ("nodes, signed again", assemble(&nodes(&good.tbs(), random), &good.algorithm, key)),
        _ => ("rules, signed again", rules(good, world, random).sign(key)),
    };
    Mutant { kind, der }
}

fn octets(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(8) {
            _ if bytes.is_empty() => {}
            0 => _ = bytes.remove(at),
            1 => bytes.insert(at, octet(random)),
            2 => bytes.truncate(at.max(2)),
            3 => bytes[at] = octet(random),
            4 => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    bytes
}

/// A DER element taken apart, so that lengths stay right when something inside changes.
#[derive(Clone)]
struct Node {
    tag: u8,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Octets(Vec<u8>),
    Nodes(Vec<Node>),
}

fn nodes(der: &[u8], random: &mut Random) -> Vec<u8> {
    let mut tree = take_apart(der).unwrap();
    for _ in 0..=random.below(2) {
        let donor = pick(&tree, random).clone();
        spoil(&mut tree, &donor, random);
    }
    put_together(&tree)
}

fn take_apart(der: &[u8]) -> Option<Vec<Node>> {
    let mut r = Reader::new(der);
    let mut out = Vec::new();
    while !r.is_empty() {
        let (tag, content, _) = r.any().ok()?;
        // Octet strings of extensions hold DER too.
        let inner = (tag & 0x20 != 0 || tag == 0x04).then(|| take_apart(content)).flatten();
        let content = inner.map_or_else(|| Content::Octets(content.to_vec()), Content::Nodes);
        out.push(Node { tag, content });
    }
    Some(out)
}

fn put_together(nodes: &[Node]) -> Vec<u8> {
    encode(|w| {
        for node in nodes {
            match &node.content {
                Content::Octets(octets) => w.element(node.tag, octets),
                Content::Nodes(nodes) => w.element(node.tag, &put_together(nodes)),
            };
        }
    })
}

fn pick<'a>(nodes: &'a [Node], random: &mut Random) -> &'a Node {
    let node = &nodes[random.below(nodes.len())];
    match &node.content {
        Content::Nodes(inner) if !inner.is_empty() && random.below(5) > 0 => pick(inner, random),
        _ => node,
    }
}

fn spoil(nodes: &mut Vec<Node>, donor: &Node, random: &mut Random) {
    let at = random.below(nodes.len());
    if let Content::Nodes(inner) = &mut nodes[at].content
        && !inner.is_empty()
        && random.below(6) > 0
    {
        return spoil(inner, donor, random);
    }
    match random.below(8) {
        0 if nodes.len() > 1 => _ = nodes.remove(at),
        1 => nodes.insert(at, nodes[at].clone()),
        2 => nodes.insert(at, donor.clone()),
        3 => nodes[at] = donor.clone(),
        4 => {
            let other = random.below(nodes.len());
            nodes.swap(at, other);
        }
        5 => nodes[at].tag = [nodes[at].tag ^ (1 << random.below(8)), donor.tag][random.below(2)],
        6 => nodes[at].content = donor.content.clone(),
        _ => match &mut nodes[at].content {
            Content::Octets(octets) if !octets.is_empty() => {
                let at = random.below(octets.len());
                octets[at] ^= 1 << random.below(8);
            }
            content => *content = Content::Octets(Vec::new()),
        },
    }
}

fn rules(mut spec: Spec, world: &World, random: &mut Random) -> Spec {
    for _ in 0..=random.below(3) {
        match random.below(14) {
            0 => spec.version = vec![u8::try_from(random.below(4)).unwrap()],
            1 => spec.serial = (0..random.below(21)).map(|_| octet(random)).collect(),
            2 => spec.not_before = any_time(random),
            3 => spec.not_after = any_time(random),
            4 => {
                spec.subject = [vec![0x30, 0], name("x"), world.issuing.name.clone()][random.below(3)].clone()
            }
            5 => spec.issuer = [name("x"), world.root.name.clone()][random.below(2)].clone(),
            6 => spec.spki = octets(spec.spki, random),
            7 => spec.algorithm = octets(spec.algorithm, random),
            8 => spec.extensions.push(any_extension(random)),
            9 => spec.extensions.insert(0, any_extension(random)),
            _ if spec.extensions.is_empty() => {}
            10 => {
                let at = random.below(spec.extensions.len());
                spec.extensions.remove(at);
            }
            11 => {
                let (a, b) = (random.below(spec.extensions.len()), random.below(spec.extensions.len()));
                spec.extensions.swap(a, b);
            }
            12 => {
                let at = random.below(spec.extensions.len());
                spec.extensions[at].critical ^= true;
            }
            _ => {
                let new = any_extension(random);
                match spec.extensions.iter_mut().find(|e| e.oid == new.oid) {
                    Some(old) => *old = new,
                    None => spec.extensions.push(new),
                }
            }
        }
    }
    spec
}

fn any_time(random: &mut Random) -> Vec<u8> {
    let hours = u64::try_from(random.below(48)).unwrap() * HOUR;
    match random.below(4) {
        0 => octets(time(NOW), random),
        1 => time(NOW.plus(30_000 * DAY)),
        _ => time(NOW.minus(DAY).plus(hours)),
    }
}

fn any_extension(random: &mut Random) -> Ext {
    let values: [(&[u8], Vec<u8>); 18] = [
        (oid::BASIC_CONSTRAINTS, ca_constraints(None)),
        (oid::BASIC_CONSTRAINTS, ca_constraints(Some(0))),
        (oid::BASIC_CONSTRAINTS, vec![0x30, 0]),
        (oid::BASIC_CONSTRAINTS, vec![0x30, 3, 1, 1, 0]),
        (oid::KEY_USAGE, vec![0x03, 2, 7, octet(random)]),
        (oid::KEY_USAGE, key_usage(0xa0)),
        (oid::EXT_KEY_USAGE, eku(&[oid::CLIENT_AUTH])),
        (oid::EXT_KEY_USAGE, eku(&[oid::SERVER_AUTH, oid::CLIENT_AUTH, &[0x2a, 3]])),
        (oid::EXT_KEY_USAGE, eku(&[])),
        (oid::SUBJECT_ALT_NAME, san(&[(0x86, SPIFFE_ID), (0x82, "a.example.org")])),
        (oid::SUBJECT_ALT_NAME, san(&[])),
        (oid::SUBJECT_KEY_ID, subject_key_id(&[octet(random); 20])),
        (oid::CRL_DISTRIBUTION_POINTS, crl_points("http://other.example.org/")),
        (oid::AUTHORITY_INFO_ACCESS, octets(crl_points("http://other.example.org/"), random)),
        (NAME_CONSTRAINTS, vec![0x30, 0]),
        (&[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2], vec![0x04, 1, octet(random)]),
        (&[0x55, 0x1d, 0x24], vec![0x30, 0]),
        (&[0x2a, 3, 4], vec![5, 0]),
    ];
    let (id, value) = values[random.below(values.len())].clone();
    let value = if random.below(3) == 0 && !value.is_empty() { octets(value, random) } else { value };
    ext(id, random.below(3) == 0, value)
}

fn octet(random: &mut Random) -> u8 {
    random.next().to_le_bytes()[0]
}
