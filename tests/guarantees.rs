//! The page of guarantees names tests that are there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../src/docs/guarantees.md");

/// The numbered promises, each from its number to the next one or the next heading.
fn promises() -> Vec<(usize, String)> {
    let mut promises: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for line in PAGE.lines() {
        let number = line
            .split_once(". ")
            .and_then(|(number, _)| number.parse().ok());
        match number {
            Some(number) => {
                promises.push((number, line.to_owned()));
                open = true;
            }
            None if line.starts_with('#') => open = false,
            None if open => {
                let (_, text) = promises.last_mut().unwrap();
                text.push('\n');
                text.push_str(line);
            }
            None => {}
        }
    }
    promises
}

/// The text between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True where the file has a function of this name that is a test or a behaviour of the kit.
fn has_test(file: &Path, source: &str, name: &str) -> bool {
    let kit = file.starts_with("tests/kit/src");
    ["(", "<"].iter().any(|after| {
        let function = format!("fn {name}{after}");
        source.match_indices(&function).any(|(at, _)| {
            let before = &source[..at];
            let line = before.rfind('\n').map_or(0, |end| end + 1);
            // Attributes are in the lines before; a behaviour is public.
            let attributes = before[..line].trim_end().rsplit("\n\n").next();
            let is_test = attributes
                .is_some_and(|lines| lines.contains("#[test]") || lines.contains("#[tokio::test"));
            is_test || kit && before.ends_with("pub async ")
        })
    })
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = promises();
    assert!(promises.len() > 30, "{} promises", promises.len());
    let mut missing = Vec::new();
    for (place, (number, text)) in promises.iter().enumerate() {
        assert_eq!(*number, place + 1, "promises are numbered: {text}");
        let (_, checked) = text
            .split_once("*Checked by*")
            .unwrap_or_else(|| panic!("promise {number} names no test"));
        let mut file = None;
        let mut tests = 0;
        for word in quoted(checked) {
            if word.contains('/') {
                let source = fs::read_to_string(root.join(word));
                file = Some((
                    word,
                    source.unwrap_or_else(|error| panic!("{word}: {error}")),
                ));
                continue;
            }
            let (path, source) = file.as_ref().expect("a test comes after its file");
            tests += 1;
            if !has_test(Path::new(path), source, word) {
                missing.push(format!("{number}: {path} {word}"));
            }
        }
        assert!(tests > 0, "promise {number} names no test");
    }
    assert!(missing.is_empty(), "there is no such test: {missing:#?}");
}

#[test]
fn what_is_not_promised_is_said() {
    let (_, not) = PAGE
        .split_once("## What is not promised")
        .expect("the section is there");
    assert!(not.matches("\n* **").count() >= 10);
}
