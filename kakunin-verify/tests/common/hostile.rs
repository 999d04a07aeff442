//! Hostile paths, and a service behind that reads them in every way that some service does.

use std::collections::BTreeSet;

/// A line of `examples/gateways/hostile-paths.tsv`.
pub(crate) struct Row {
    /// Whether who may do `write:payments` alone gets through.
    pub(crate) allowed: bool,
    /// Whether it may be normalised instead of refused.
    pub(crate) either: bool,
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) what: String,
}

pub(crate) fn table() -> Vec<Row> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/gateways/hostile-paths.tsv");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    let rows: Vec<_> = lines
        .map(|line| {
            let [answer, method, target, what] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not four columns: {line}");
            };
            assert!(["yes", "no", "either"].contains(&answer), "{line}");
            Row {
                allowed: answer == "yes",
                either: answer == "either",
                method: method.to_owned(),
                target: octets(target),
                what: format!("{what}: {method} {target}"),
            }
        })
        .collect();
    assert!(rows.len() > 80 && rows.iter().filter(|row| row.allowed).count() > 3);
    rows
}

fn octets(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
        octets.extend_from_slice(&part.as_bytes()[2..]);
    }
    octets
}

/// One way to read a path.
type Way = fn(&[u8]) -> Vec<u8>;

/// The first segments, in small letters, of all paths that some service takes `target` for: frameworks and file systems
/// decode (once, twice, overlong), fold, cut, resolve and merge, each in its own order.
pub(crate) fn resources(target: &[u8]) -> BTreeSet<String> {
    let ways: [Way; 12] = [
        authority,
        decoded,
        narrowed,
        overlong,
        backslashes,
        parameters,
        merged,
        resolved,
        trimmed,
        lower,
        |path| until(path, b"?"),
        |path| until(path, b"#\0"),
    ];
    let mut known = BTreeSet::from([target.to_vec()]);
    let mut open = vec![target.to_vec()];
    while let Some(path) = open.pop() {
        assert!(known.len() < 20_000, "{}", String::from_utf8_lossy(target));
        open.extend(ways.iter().map(|way| way(&path)).filter(|read| known.insert(read.clone())));
    }
    let first = |path: &Vec<u8>| {
        let path = String::from_utf8_lossy(path).to_lowercase();
        path.split(['/', '?']).find(|segment| !segment.is_empty()).unwrap_or_default().to_owned()
    };
    known.iter().map(first).collect()
}

fn until(path: &[u8], ends: &[u8]) -> Vec<u8> {
    path.split(|b| ends.contains(b)).next().unwrap().to_vec()
}

fn path_and_rest(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(target.iter().position(|b| *b == b'?').unwrap_or(target.len()))
}

fn authority(target: &[u8]) -> Vec<u8> {
    match target.strip_prefix(b"http://") {
        Some(rest) => rest[rest.iter().position(|b| *b == b'/').unwrap_or(rest.len())..].to_vec(),
        None => target.to_vec(),
    }
}

/// Of the path; a query decodes to nothing that leads elsewhere.
fn decoded(target: &[u8]) -> Vec<u8> {
    let (path, rest) = path_and_rest(target);
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet.filter(|_| path[at] == b'%') {
            Some(octet) => {
                out.push(octet);
                at += 3;
            }
            None => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

fn replaced(path: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some(first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend_from_slice(to);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    out
}

fn narrowed(path: &[u8]) -> Vec<u8> {
    let wide = [
        ("\u{ff0e}", "."),
        ("\u{ff0f}", "/"),
        ("\u{2215}", "/"),
        ("\u{2024}", "."),
        ("\u{fe30}", ".."),
        ("\u{37e}", ";"),
        ("\u{a5}", "\\"),
        ("%u002e", "."),
        ("%u002f", "/"),
    ];
    wide.iter().fold(path.to_vec(), |path, (from, to)| replaced(&path, from.as_bytes(), to.as_bytes()))
}

fn overlong(path: &[u8]) -> Vec<u8> {
    let long: [(&[u8], &[u8]); 3] = [(b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xe0\x80\xae", b".")];
    long.iter().fold(path.to_vec(), |path, (from, to)| replaced(&path, from, to))
}

fn each(target: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let (path, rest) = path_and_rest(target);
    let segments: Vec<_> = path.split(|b| *b == b'/').filter_map(change).collect();
    [&segments.join(&b'/')[..], rest].concat()
}

fn backslashes(path: &[u8]) -> Vec<u8> {
    replaced(path, b"\\", b"/")
}

fn parameters(target: &[u8]) -> Vec<u8> {
    each(target, |segment| Some(until(segment, b";")))
}

fn merged(target: &[u8]) -> Vec<u8> {
    let out = each(target, |segment| (!segment.is_empty()).then(|| segment.to_vec()));
    if target.starts_with(b"/") { [b"/", &out[..]].concat() } else { out }
}

fn trimmed(target: &[u8]) -> Vec<u8> {
    each(target, |segment| {
        let dots = segment == b"." || segment == b"..";
        let end = segment.iter().rposition(|b| !b". \t\r\n".contains(b)).map_or(0, |at| at + 1);
        // What is left of `.. ` and `.. .` are the dots.
        let kept = if end == 0 && segment.starts_with(b"..") { 2 } else { end };
        Some(if dots { segment.to_vec() } else { segment[..kept].to_vec() })
    })
}

fn lower(path: &[u8]) -> Vec<u8> {
    path.to_ascii_lowercase()
}

fn resolved(target: &[u8]) -> Vec<u8> {
    let (path, rest) = path_and_rest(target);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|b| *b == b'/') {
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let path = segments.join(&b'/');
    let slash: &[u8] = if path.starts_with(b"/") || !target.starts_with(b"/") { b"" } else { b"/" };
    [slash, &path[..], rest].concat()
}
