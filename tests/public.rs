//! What is public can grow without breaking anybody: enums and open structs are `non_exhaustive`, unless they are listed here with the
//! reason why they end where they do, and nothing is re-exported that nobody named.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the crates that applications and stores of their own build on.
const CRATES: [&str; 11] = [
    "core/src",
    "src",
    "stores/encrypted/src",
    "stores/kv/src",
    "stores/memory/src",
    "stores/redb/src",
    "stores/sled/src",
    "stores/sqlite/src",
    "stores/threads/src",
    "transport/http/src",
    "transport/server/src",
];

/// A store that passed over one of these would be wrong without a word, so another one has to break it.
const NOTHING_IS_PASSED_OVER: [&str; 7] = [
    "Changed",
    "Check",
    "Expect",
    "Unchanged",
    "Write",
    "ChangeKind",
    "Changes",
];

/// What cannot be more: both directions, all kinds of JSON, the parts of a place in an order or of a key.
const ALL_THERE_IS: [&str; 16] = [
    "Collapse",
    "Counterpart",
    "Direction",
    "Durability",
    "IndexSpec",
    "Key",
    "LastChange",
    "Missing",
    "Number",
    "OrderBy",
    "Position",
    "SortKey",
    "SortValue",
    "Spelling",
    "SystemProperties",
    "Taken",
];

/// Whoever answers a query from an iterator takes these apart.
const TAKEN_APART: [&str; 2] = ["UnknownField", "Window"];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// The public enums, and structs whose fields are all public, that end where they do.
fn exhaustive(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("#[") || line.starts_with("///") || line.starts_with(")]") {
            attributes.push_str(line);
            continue;
        }
        let item = |kind| line.strip_prefix(kind);
        let (name, is_enum) = match (item("pub enum "), item("pub struct ")) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => {
                if !line.starts_with("    ") {
                    attributes.clear();
                }
                continue;
            }
        };
        let open = !attributes.contains("non_exhaustive");
        attributes.clear();
        if !open || !line.ends_with('{') {
            continue;
        }
        let mut fields = Vec::new();
        while let Some(inner) = lines.next_if(|inner| !inner.starts_with('}')) {
            let is_member = inner.starts_with("    ") && !inner.starts_with("     ");
            let word = inner.trim_start();
            if is_member && !word.starts_with("//") && !word.starts_with("#[") {
                fields.push(word.starts_with("pub ") || is_enum);
            }
        }
        if is_enum || !fields.is_empty() && fields.iter().all(|public| *public) {
            let end = |c: char| !c.is_alphanumeric();
            found.extend(name.split(end).next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn what_is_public_may_grow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lists = [
        &NOTHING_IS_PASSED_OVER[..],
        &ALL_THERE_IS[..],
        &TAKEN_APART[..],
    ];
    let listed: BTreeSet<String> = lists.concat().into_iter().map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    for folder in CRATES {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            found.extend(exhaustive(&text));
            let all = text.lines().find(|line| {
                line.starts_with("pub use ") && line.contains('*') && !line.contains("//")
            });
            assert_eq!(all, None, "{}: name what is public", file.display());
        }
    }
    assert_eq!(
        found, listed,
        "public, and neither `#[non_exhaustive]` nor listed here with a reason; or listed and not there"
    );
}

#[test]
fn ends_are_seen() {
    let text = "/// A.\n#[derive(Debug)]\npub enum Open {\n    One,\n}\n\n#[non_exhaustive]\npub enum Grows {\n    One,\n}\n\
                pub struct Parts {\n    pub a: u8,\n    /// Its.\n    pub b: u8,\n}\npub struct Kept {\n    pub a: u8,\n    b: u8,\n}\n";
    assert_eq!(exhaustive(text), ["Open", "Parts"]);
}
