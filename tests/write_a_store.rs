//! The guides *Write a store* and *Write a native store* show what is tested, and say true lengths.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

const GUIDE: &str = include_str!("../src/docs/write_a_store.md");
const NATIVE_GUIDE: &str = include_str!("../src/docs/write_a_native_store.md");
const ENGINE: &str = include_str!("../examples/custom_store/engine.rs");
const GROUPS: &str = include_str!("kit/src/groups.rs");
const STORE: &str = include_str!("../examples/native_store/store.rs");

/// The lines of each block of Rust, hidden ones included.
fn blocks(page: &'static str) -> Vec<Vec<&'static str>> {
    let (mut blocks, mut block) = (Vec::new(), None);
    for line in page.lines() {
        match &mut block {
            None if line == "```" => block = Some(Vec::new()),
            None if line.starts_with("```") => block = Some(vec![line]), // of another language
            None => {}
            Some(lines) if line == "```" => {
                blocks.push(std::mem::take(lines));
                block = None;
            }
            Some(lines) => lines.push(line),
        }
    }
    assert!(block.is_none(), "a block of the guide does not end");
    blocks.retain(|lines| !lines.first().is_some_and(|line| line.starts_with("```")));
    blocks
}

fn is_hidden(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

#[test]
fn the_engine_of_the_guide_is_the_one_that_is_tested() {
    let blocks = blocks(GUIDE);
    let shown = blocks
        .iter()
        .find(|lines| lines.contains(&"impl KvBackend for Fjall {"));
    let shown = shown.expect("the guide shows the engine").iter();
    let shown: Vec<&str> = shown.copied().filter(|line| !is_hidden(line)).collect();
    assert_eq!(shown, ENGINE.lines().collect::<Vec<_>>());
}

/// What stands between `# impl Shown<..> {` or `# mod shown {`, and `# }`.
#[test]
fn what_the_guide_shows_of_the_native_store_is_what_is_tested() {
    let store: Vec<&str> = STORE.lines().map(str::trim).collect();
    let mut shown = 0;
    for block in blocks(NATIVE_GUIDE) {
        let starts = |line: &&str| line.starts_with("# impl Shown<") || *line == "# mod shown {";
        let Some(start) = block.iter().position(starts) else {
            continue;
        };
        let lines = block[start + 1..].iter().take_while(|line| **line != "# }");
        let lines: Vec<&str> = lines.copied().filter(|line| !is_hidden(line)).collect();
        // Items are apart by an empty line; behind each other in the guide they need not be so in the store.
        for item in lines.split(|line| line.is_empty()) {
            let item: Vec<&str> = item.iter().map(|line| line.trim()).collect();
            let is_there = store.windows(item.len()).any(|lines| lines == item);
            assert!(
                is_there,
                "the store of the example has no longer: {item:#?}"
            );
            shown += item.len();
        }
    }
    assert!(shown > 100, "the guide shows {shown} lines of the store");
}

#[test]
fn the_behaviours_that_the_guides_name_are_there() {
    let mut named = 0;
    for text in [GUIDE, NATIVE_GUIDE]
        .iter()
        .flat_map(|page| page.split('`'))
    {
        let Some((group, behaviour)) = text.split_once("::") else {
            continue;
        };
        let arm = format!("$harness:ty, {group}) => {{");
        let Some((_, behaviours)) = GROUPS.split_once(&arm) else {
            continue;
        };
        let behaviours = behaviours.split('}').next().unwrap();
        let is_there = behaviours.split_whitespace().any(|it| it == behaviour);
        assert!(is_there, "the kit has no {group}::{behaviour}");
        named += 1;
    }
    assert!(named > 10, "the guides name {named} behaviours");
}

/// All lines count: those of imports, comments, and empty ones.
#[test]
fn the_stores_are_as_short_as_the_guide_says() {
    let (engine, store) = (ENGINE.lines().count(), STORE.lines().count());
    assert!(engine < 120, "the key-value engine has {engine} lines");
    assert!(store < 400, "the native store has {store} lines");
}
