//! Who knows whom, by the `use` lines of every crate: no module knows itself, over however many others, and rooms know
//! those below them alone. A re-export is a table of contents, and no knowledge.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Rooms of `kakunin_core::service`, from the lowest up.
const ROOMS: [&str; 10] =
    ["limits", "error", "state", "command", "engine", "deployment", "moving", "effects", "query", "handle"];

type Module = Vec<String>;

fn sources(folder: &Path, at: &[String], all: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".rs").to_owned();
        if entry.path().is_dir() {
            sources(&entry.path(), &[at, &[name]].concat(), all);
        } else if name.ends_with(".rs") && stem != "main" {
            let own = if stem == "mod" || stem == "lib" { at.to_vec() } else { [at, &[stem]].concat() };
            let text = fs::read_to_string(entry.path()).unwrap();
            all.insert(own, text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned());
        }
    }
}

/// Every path of a `use`, braces resolved.
fn expand(tree: &str) -> Vec<Module> {
    let Some((head, inner)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().split("::").map(|s| s.trim().to_owned()).collect()];
    };
    let mut depth = 0;
    let parts = inner.trim_end().strip_suffix('}').unwrap().split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(&format!("{head}{}", part.trim()))).collect()
}

/// The path from the crate's root, if it is one of this crate's.
fn absolute(module: &[String], path: &[String], all: &BTreeMap<Module, String>) -> Option<Module> {
    let ups = path.iter().take_while(|s| *s == "super").count();
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => Some([&module[..module.len() - ups], &path[ups..]].concat()),
        "self" => Some([module, &path[1..]].concat()),
        first => all.contains_key(&[module, &[first.to_owned()]].concat()).then(|| [module, path].concat()),
    }
}

/// Whom each module knows.
fn arrows(crate_name: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let (mut all, mut uses, mut again) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_name).join("src"), &[], &mut all);
    for (module, text) in &all {
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let (before, used) = line.split_once("use ").unwrap_or(("not", ""));
            if !(before.is_empty() || before == "pub " || before.starts_with("pub(")) {
                continue;
            }
            let mut used = used.to_owned();
            while !used.contains(';') {
                used += lines.next().unwrap();
            }
            for path in expand(used.trim_end_matches(';')).iter().filter_map(|p| absolute(module, p, &all)) {
                if before.is_empty() {
                    uses.push((module, path));
                } else {
                    again.insert((module.clone(), path.last().unwrap().clone()), path);
                }
            }
        }
    }
    let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, mut path) in uses {
        loop {
            let known = (0..=path.len()).rev().find(|n| all.contains_key(&path[..*n])).unwrap();
            let (of, rest) = (path[..known].to_vec(), path[known..].to_vec());
            match rest.first().and_then(|name| again.get(&(of.clone(), name.clone()))) {
                Some(to) => path = [to.as_slice(), &rest[1..]].concat(),
                None if of == *module => break,
                None => {
                    arrows.entry(module.clone()).or_default().insert(of);
                    break;
                }
            }
        }
    }
    arrows
}

#[test]
fn no_module_knows_itself_over_others() {
    for crate_name in ["kakunin-core", "kakunin-kms", "kakunin-verify", "kakunin-server"] {
        let mut arrows = arrows(crate_name);
        assert!(arrows.len() > 10, "the sources of {crate_name} were not found");
        // Whoever knows nobody that is left is in no circle, nor is whom nobody knows.
        loop {
            let before = arrows.len();
            let left: BTreeSet<_> = arrows.keys().cloned().collect();
            arrows.retain(|_, known| known.iter().any(|module| left.contains(module)));
            let known: BTreeSet<_> = arrows.values().flatten().cloned().collect();
            arrows.retain(|module, _| known.contains(module));
            if arrows.len() == before {
                break;
            }
        }
        let circle: Vec<_> = arrows.keys().map(|module| module.join("::")).collect();
        assert_eq!(circle, Vec::<String>::new(), "these modules of {crate_name} know themselves");
    }
}

#[test]
fn rooms_know_those_below_them() {
    let room = |module: &Module| {
        let name = module.get(1).filter(|_| module[0] == "service")?;
        Some(ROOMS.iter().position(|room| room == name).expect("a room that ROOMS does not have"))
    };
    let mut count = 0;
    for (module, known) in arrows("kakunin-core").iter().filter(|(module, _)| !module.is_empty()) {
        for to in known.iter().filter(|to| !to.is_empty()) {
            match (room(module), room(to)) {
                (Some(from), Some(below)) => {
                    count += 1;
                    assert!(below <= from, "{} knows {}, above it", module.join("::"), to.join("::"));
                }
                (None, Some(_)) if module[0] != "service" => {
                    panic!("{} knows {}, above it", module.join("::"), to.join("::"))
                }
                _ => {}
            }
        }
    }
    assert!(count > 300, "the rooms were not found: {count} arrows");
}

#[test]
fn the_dialect_translates_and_decides_nothing() {
    let mut all = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/compat"), &[], &mut all);
    assert!(all.len() > 15, "the dialect was not found");
    // Whose event it is has to be looked up.
    for (module, text) in all.iter().filter(|(module, _)| module.join("") != "event") {
        for word in [".await", "Kakunin", "app::App"] {
            assert!(!text.contains(word), "compat/{}.rs has `{word}`", module.join("/"));
        }
    }
}
