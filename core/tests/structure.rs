//! The sync engine stays in layers: its files import each other one way, and none is longer than one can read at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST: usize = 500;

/// The files of the engine, each by its path as a module.
fn files() -> BTreeMap<String, PathBuf> {
    fn collect(folder: &Path, module: &str, files: &mut BTreeMap<String, PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let name = if stem == "mod" {
                module.to_owned()
            } else {
                format!("{module}::{stem}")
            };
            if path.is_dir() {
                collect(&path, &name, files);
            } else if stem != "tests" {
                files.insert(name, path);
            }
        }
    }
    let mut files = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sync");
    collect(&root, "crate::sync", &mut files);
    files
}

/// The paths that the `use` items of a file import, without those of its tests.
fn imports(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join(" ");
    assert!(
        !code.contains("use super::"),
        "imports of the engine begin with crate::sync, so that they are seen here"
    );
    let mut paths = Vec::new();
    for item in code.split("use crate::sync::").skip(1) {
        let tree = item.split(';').next().unwrap();
        expand("crate::sync::", tree, &mut paths);
    }
    paths
}

/// The paths of a tree such as `a::{b, c::{d, e}}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{}", tree.trim()));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut start) = (0_i32, 0);
    for (place, letter) in inside.char_indices().chain([(inside.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[start..place].trim().is_empty() {
                    expand(&prefix, &inside[start..place], paths);
                }
                start = place + 1;
            }
            _ => {}
        }
    }
}

/// The longest name of a file that a path begins with.
fn file_of<'a>(path: &str, files: &'a BTreeMap<String, PathBuf>) -> Option<&'a String> {
    let within = |name: &&String| {
        path == name.as_str()
            || path
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.starts_with("::"))
    };
    files.keys().filter(within).max_by_key(|name| name.len())
}

#[test]
fn files_of_the_engine_import_each_other_one_way() {
    let files = files();
    assert!(files.len() > 40, "only {} files were found", files.len());
    let mut waiting: BTreeMap<&String, BTreeSet<&String>> = files
        .iter()
        .map(|(name, path)| {
            let paths = imports(&fs::read_to_string(path).unwrap());
            let found = paths.iter().filter_map(|path| file_of(path, &files));
            (name, found.filter(|other| *other != name).collect())
        })
        .collect();
    let edges: usize = waiting.values().map(BTreeSet::len).sum();
    assert!(edges > 150, "only {edges} imports were found");
    // Takes away what imports nothing that is left, until nothing is.
    loop {
        let leaves: BTreeSet<&String> = waiting
            .iter()
            .filter(|(_, others)| others.is_empty())
            .map(|(name, _)| *name)
            .collect();
        if leaves.is_empty() {
            break;
        }
        waiting.retain(|name, _| !leaves.contains(name));
        for others in waiting.values_mut() {
            others.retain(|name| !leaves.contains(name));
        }
    }
    assert!(
        waiting.is_empty(),
        "these import each other in a circle, or what does: {waiting:#?}"
    );
}

#[test]
fn no_file_of_the_engine_is_too_long() {
    for (name, path) in files() {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= LONGEST, "{name} has {lines} lines");
    }
}
