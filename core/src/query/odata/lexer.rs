//! OData text as tokens.

use super::error::{ODataError, Source, shown};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A member path, a keyword, an operator or the name of a function: starts with a letter.
    Word(&'a str),
    /// A number, a date, a time or a GUID: starts with a digit.
    Number(&'a str),
    /// A quoted text, without its quotes.
    Text(String),
    /// A quoted text with a word directly before it, as in `guid'..'`.
    Typed(&'a str, String),
    /// Any other character.
    Symbol(char),
    /// The end of the text.
    End,
}

impl Token<'_> {
    /// The token as an error message names it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) | Self::Number(word) => shown(word),
            Self::Text(_) => "a quoted text".to_owned(),
            Self::Typed(prefix, _) => shown(&format!("{prefix}'..'")),
            Self::Symbol(c) => shown(&c.to_string()),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Cuts a text into tokens, one at a time.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    source: Source<'a>,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, at: 0 }
    }

    /// The next token and the byte where it starts.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), ODataError> {
        let blank = |c: char| c.is_ascii_whitespace();
        self.at += self.rest().len() - self.rest().trim_start_matches(blank).len();
        let start = self.at;
        let token = match self.rest().chars().next() {
            None => Token::End,
            Some('\'') => Token::Text(self.quoted()?),
            Some(c) if c.is_ascii_digit() => Token::Number(self.take(number_end)),
            Some(c) if starts_name(c) => {
                let word = self.take(word_end);
                if self.rest().starts_with('\'') {
                    Token::Typed(word, self.quoted()?)
                } else {
                    Token::Word(word)
                }
            }
            Some(c) => {
                self.at += c.len_utf8();
                Token::Symbol(c)
            }
        };
        Ok((start, token))
    }

    pub(super) fn error(&self, at: usize, message: impl Into<String>) -> ODataError {
        self.source.error(at, message)
    }

    fn rest(&self) -> &'a str {
        self.source.text.get(self.at..).unwrap_or_default()
    }

    /// The text up to where `end` says.
    fn take(&mut self, end: fn(&str) -> usize) -> &'a str {
        let rest = self.rest();
        let (taken, _) = rest.split_at_checked(end(rest)).unwrap_or((rest, ""));
        self.at += taken.len();
        taken
    }

    /// A text in quotes, in which two quotes stand for one.
    fn quoted(&mut self) -> Result<String, ODataError> {
        let start = self.at;
        let mut out = String::new();
        let mut rest = self.rest().strip_prefix('\'').unwrap_or_default();
        loop {
            let Some((part, after)) = rest.split_once('\'') else {
                let message = "the text that starts here has no closing quote; write a quote inside as '' (and, in the text of a URL, an & as %26)";
                return Err(self.error(start, message));
            };
            out.push_str(part);
            let Some(after) = after.strip_prefix('\'') else {
                self.at = self.source.text.len() - after.len();
                return Ok(out);
            };
            out.push('\'');
            rest = after;
        }
    }
}

/// Where a word ends: at the first character that no name has, and at a `/` without a name behind it.
fn word_end(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let goes_on = match c {
            '/' => chars.peek().is_some_and(|(_, next)| starts_name(*next)),
            c => c == '.' || continues_name(c),
        };
        if !goes_on {
            return at;
        }
    }
    text.len()
}

fn number_end(text: &str) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '+' | '-' | '_');
    text.find(|c| !part(c)).unwrap_or(text.len())
}

fn starts_name(c: char) -> bool {
    let beyond_ascii = !c.is_ascii() && !c.is_whitespace() && !c.is_control();
    c.is_ascii_alphabetic() || matches!(c, '_' | '@') || beyond_ascii
}

fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit() || c == '-'
}

/// Whether a filter can name a member so: a letter, `_` or `@`, then those, digits and `-`.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(starts_name) && text.chars().all(continues_name)
}
