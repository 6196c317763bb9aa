//! What can be wrong with OData text, and how large it may be.

use thiserror::Error;

use crate::words;

/// Text that is not OData: what is wrong, and where.
///
/// The message starts with the name of the option and the position in its decoded text
/// (`$filter, position 12: ..`), or with `query` and the position in the whole query string.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{label}, position {position}: {message}")]
pub struct ODataError {
    label: &'static str,
    position: usize,
    message: String,
}

impl ODataError {
    /// The place of the mistake in characters, from 0.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The same error in a text that has `characters` more at its start.
    pub(super) fn moved(mut self, characters: usize) -> Self {
        self.position += characters;
        self
    }
}

/// A query that the spelling asked for has no words for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot be written as OData: {0}")]
pub struct WriteError(String);

impl WriteError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(words::message(message))
    }
}

/// How large OData text may be. The defaults suit servers that read text from strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep parentheses, negations, calls and operators may nest. Each level takes some kilobytes
    /// of the stack.
    pub depth: usize,
    /// The most operands and operators in a filter.
    pub nodes: usize,
    /// The most terms in an order: each one is read and kept for every record that is sorted.
    pub terms: usize,
    /// The most bytes of text.
    pub length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 100,
            nodes: 20_000,
            terms: 32,
            length: 64 * 1024,
        }
    }
}

/// The text of one option, for errors that tell where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    label: &'static str,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(label: &'static str, text: &'a str) -> Self {
        Self { label, text }
    }

    /// The same, unless it is too long.
    pub(super) fn within(self, limits: &Limits) -> Result<Self, ODataError> {
        if self.text.len() > limits.length {
            return Err(self.error(0, format!("longer than {} bytes", limits.length)));
        }
        Ok(self)
    }

    /// An error at a byte of the text.
    pub(super) fn error(&self, at: usize, message: impl Into<String>) -> ODataError {
        ODataError {
            label: self.label,
            position: self.characters(at),
            message: words::message(message),
        }
    }

    /// The number of characters before a byte of the text.
    pub(super) fn characters(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).chars().count()
    }
}

/// Foreign text as a message may show it: short, quoted, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars().take(40) {
        if matches!(c, '\'' | '"') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out.push('\'');
    out
}
