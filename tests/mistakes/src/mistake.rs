//! A mistake: a patch and the files that it changes.

use std::fs;
use std::path::Path;

use diffy::Line;
use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

/// A mistake in the engine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mistake {
    /// The name of its file, without the ending.
    pub name: String,
    /// What is wrong, in plain English.
    pub wrong: String,
    patch: String,
}

impl Mistake {
    /// Reads a patch.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_patch = path.extension().is_some_and(|ending| ending == "patch");
        let Some(name) = stem.filter(|_| is_patch) else {
            return Err(format!("{} is no patch", path.display()));
        };
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Self::new(name, &text)
    }

    /// A mistake of this name; `text` is what is wrong in one line, and then the patch.
    ///
    /// # Errors
    /// A message, if there is no first line that says what is wrong, or nothing after it.
    pub fn new(name: &str, text: &str) -> Result<Self, String> {
        match text.split_once('\n') {
            Some((wrong, patch)) if !wrong.trim().is_empty() && patch.starts_with("--- a/") => {
                Ok(Self {
                    name: name.to_owned(),
                    wrong: wrong.to_owned(),
                    patch: patch.to_owned(),
                })
            }
            _ => Err(format!(
                "{name}: one line has to say what is wrong, the next begin with \"--- a/\""
            )),
        }
    }

    /// The files that it changes, by their path from the root of the workspace, and their new text. `read` gives the text of a file.
    ///
    /// What a patch expects has to be in its file exactly once, wherever that is by now: the numbers of lines do not count.
    ///
    /// # Errors
    /// A message that says what does not fit.
    pub fn apply(
        &self,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<(String, String)>, String> {
        let said = |what: &dyn std::fmt::Display| format!("{}: {what}", self.name);
        let mut files = Vec::new();
        for file in PatchSet::parse(&self.patch, ParseOptions::unidiff()) {
            let file = file.map_err(|error| said(&error))?;
            let FileOperation::Modify { original, modified } = file.operation() else {
                return Err(said(&"it may only change files"));
            };
            let path = original.strip_prefix("a/").unwrap_or(original);
            if modified.strip_prefix("b/") != Some(path) {
                return Err(said(&"a file may not get another name"));
            }
            let Some(change) = file.patch().as_text() else {
                return Err(said(&"it may only change text"));
            };
            let before = read(path).map_err(|error| said(&error))?;
            let mut after = before.clone();
            for (place, hunk) in change.hunks().iter().enumerate() {
                let (old, new) = sides(hunk.lines());
                after = replaced(&after, &old, &new)
                    .map_err(|why| said(&format!("{path}, part {}: {why}", place + 1)))?;
            }
            if after == before {
                return Err(said(&format!("it does not change {path}")));
            }
            files.push((path.to_owned(), after));
        }
        if files.is_empty() {
            return Err(said(&"it changes nothing"));
        }
        Ok(files)
    }
}

/// What a part of a patch expects, and what it puts there.
fn sides(lines: &[Line<'_, str>]) -> (String, String) {
    let (mut old, mut new) = (String::new(), String::new());
    for line in lines {
        match line {
            Line::Context(text) => {
                old.push_str(text);
                new.push_str(text);
            }
            Line::Delete(text) => old.push_str(text),
            Line::Insert(text) => new.push_str(text),
        }
    }
    (old, new)
}

/// `text` with `new` in place of `old`, which has to be there once, as whole lines.
fn replaced(text: &str, old: &str, new: &str) -> Result<String, &'static str> {
    let mut places = text
        .match_indices(old)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text.get(..*at).is_some_and(|before| before.ends_with('\n')));
    match (places.next(), places.next()) {
        _ if old.is_empty() => Err("it needs a line to go by"),
        (None, _) => Err("what it expects is not there"),
        (Some(_), Some(_)) => Err("what it expects is there more than once"),
        (Some(at), None) => {
            let (before, after) = text.split_at(at);
            let after = after.get(old.len()..).unwrap_or_default();
            Ok(format!("{before}{new}{after}"))
        }
    }
}
