//! Versions as entity tags and back.

use http::HeaderValue;
use synctable_core::Version;

/// The version in quotes; a quote inside gets a backslash where it has none. `None` where a header cannot carry it.
pub(crate) fn to_header(version: &Version) -> Option<HeaderValue> {
    let text = version.as_str();
    let mut tag = String::with_capacity(text.len() + 2);
    tag.push('"');
    let mut before = None;
    for c in text.chars() {
        if c == '"' && before != Some('\\') {
            tag.push('\\');
        }
        tag.push(c);
        before = Some(c);
    }
    tag.push('"');
    HeaderValue::from_bytes(tag.as_bytes()).ok()
}

/// What an `If-Match` or `If-None-Match` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`.
    Any,
    /// The versions of the tags.
    List {
        strong: Vec<String>,
        weak: Vec<String>,
    },
}

impl Tags {
    /// Reads a header's text; `None` where it is no list of tags.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let (mut strong, mut weak) = (Vec::new(), Vec::new());
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(',') {
                rest = after.trim_start();
                continue;
            }
            let tag = rest.strip_prefix("W/");
            let (version, after) = quoted(tag.unwrap_or(rest))?;
            let list = if tag.is_none() {
                &mut strong
            } else {
                &mut weak
            };
            list.push(version);
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
        let list = Self::List { strong, weak };
        (list.count() > 0).then_some(list)
    }

    /// How many tags there are; `*` is one.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Any => 1,
            Self::List { strong, weak } => strong.len() + weak.len(),
        }
    }

    /// True when a strong tag names this version; `*` names every version. This is how `If-Match` compares.
    pub(crate) fn matches(&self, version: Option<&Version>) -> bool {
        match (self, version) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::List { strong, .. }, Some(version)) => names(strong, version),
        }
    }

    /// True when a tag names this version, be it strong or weak. This is how `If-None-Match` compares (RFC 9110).
    pub(crate) fn matches_weakly(&self, version: Option<&Version>) -> bool {
        let by_weak = match (self, version) {
            (Self::List { weak, .. }, Some(version)) => names(weak, version),
            _ => false,
        };
        by_weak || self.matches(version)
    }
}

fn names(tags: &[String], version: &Version) -> bool {
    tags.iter().any(|tag| tag == version.as_str())
}

/// Splits `"text"` from what follows it; a quote inside is written with a backslash.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut before = None;
    for (at, c) in inner.char_indices() {
        if c == '"' && before != Some('\\') {
            let version = inner.get(..at)?.replace("\\\"", "\"");
            return Some((version, inner.get(at + 1..)?));
        }
        before = Some(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_the_way_through_a_header() {
        for version in ["AAAAAAAAB9E=", "a\"b", "", "a,b", "W/x"] {
            let header = to_header(&Version::new(version)).unwrap();
            let tags = Tags::parse(header.to_str().unwrap()).unwrap();
            assert!(tags.matches(Some(&Version::new(version))), "{version}");
            assert!(!tags.matches(Some(&Version::new("other"))), "{version}");
        }
        assert_eq!(to_header(&Version::new("a\nb")), None);
    }

    #[test]
    fn garbled_lists_are_told_from_good_ones() {
        for bad in [
            "",
            " ",
            ",",
            "abc",
            "\"abc",
            "\"a\" \"b\"",
            "W/abc",
            "\"a\",b",
            "*, \"a\"",
        ] {
            assert_eq!(Tags::parse(bad), None, "{bad}");
        }
        for (good, strong, count) in [
            ("\"a\"", 1, 1),
            (" \"a\" , \"b\",", 2, 2),
            ("W/\"a\"", 0, 1),
            ("W/\"a\",\"b\"", 1, 2),
        ] {
            match Tags::parse(good) {
                Some(list @ Tags::List { .. }) => {
                    let Tags::List { strong: tags, .. } = &list else {
                        continue;
                    };
                    assert_eq!((tags.len(), list.count()), (strong, count), "{good}");
                }
                other => panic!("{good}: {other:?}"),
            }
        }
        assert_eq!(Tags::parse(" * "), Some(Tags::Any));
    }

    #[test]
    fn a_record_without_version_matches_nothing() {
        assert!(!Tags::Any.matches(None));
    }
}
