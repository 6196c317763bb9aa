//! Validated names: a value of one of these types has passed its rule, so no other code checks again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name or id that breaks its rule. The message says which rule and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} {shown} is not valid: {rule}")]
pub struct NameError {
    what: &'static str,
    shown: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        // `escape_debug` keeps control characters out of error messages, and long input is cut.
        let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        if text.chars().nth(60).is_some() {
            shown.push('…');
        }
        Self {
            what,
            shown: format!("'{shown}'"),
            rule,
        }
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name_type! {
    /// The name of a table: a lower-case letter, then up to 63 lower-case letters, digits or `_`.
    ///
    /// Names that start with `__` belong to the engine and are refused here.
    ///
    /// ```
    /// use synctable_core::TableName;
    /// assert!(TableName::new("todo_item").is_ok());
    /// assert!(TableName::new("Todo Item").is_err());
    /// assert!(TableName::new("__operations").is_err());
    /// ```
    TableName
}

impl TableName {
    /// Checks `text` and wraps it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let tail = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if head && tail && text.len() <= 64 {
            return Ok(Self(text.into()));
        }
        let rule = if text.starts_with("__") {
            "names that start with '__' belong to the engine; choose another"
        } else {
            "use a lower-case letter, then up to 63 lower-case letters, digits or '_'"
        };
        Err(NameError::new("table name", text, rule))
    }

    /// A table of the engine itself, such as `__operations`.
    ///
    /// Stores meet these names like any other; applications cannot make them through [`TableName::new`].
    #[doc(hidden)]
    pub fn system(text: &'static str) -> Self {
        Self(text.into())
    }

    /// The name of a table as a *store* may meet it: a user's table, or one of the engine's own (`__…`).
    ///
    /// For stores that read back what they kept.
    pub fn stored(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("__") {
            Some(rest) => Self::new(rest).map(|_| Self(text.into())),
            None => Self::new(text),
        }
    }

    /// True for the engine's own tables.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("__")
    }
}

name_type! {
    /// The id of a record: 1 to 255 characters, not blank, without `"`, `+`, `?`, `\`, `/`, `` ` `` and
    /// control characters, and neither `.` nor `..`. This is the union of what all dialects allow.
    ///
    /// Ids are compared exactly, upper and lower case being different.
    ///
    /// ```
    /// use synctable_core::RecordId;
    /// assert!(RecordId::new("a-1 (draft)").is_ok());
    /// assert!(RecordId::new("a/b").is_err());
    /// ```
    RecordId
}

impl RecordId {
    /// Checks `text` and wraps it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        const RULE: &str = "use 1 to 255 characters, not all blank, none of \" + ? \\ / ` or control characters, not '.' or '..'";
        let forbidden = |c: char| matches!(c, '"' | '+' | '?' | '\\' | '/' | '`' | '\0'..='\x1f' | '\x7f'..='\u{9f}');
        let length = text.len() <= 255 || text.chars().count() <= 255;
        if !length
            || text.trim().is_empty()
            || text == "."
            || text == ".."
            || text.contains(forbidden)
        {
            return Err(NameError::new("id", text, RULE));
        }
        Ok(Self(text.into()))
    }

    /// An id as it was stored, unchecked: those inside the engine's own tables may be longer than a user's.
    ///
    /// For stores that read back what they kept.
    pub fn system(text: &str) -> Self {
        Self(text.into())
    }
}

name_type! {
    /// The name under which a pull remembers how far it got: 1 to 255 characters without `|` and control characters.
    ///
    /// ```
    /// use synctable_core::QueryId;
    /// assert!(QueryId::new("all-todos").is_ok());
    /// assert!(QueryId::new("a|b").is_err());
    /// ```
    QueryId
}

impl QueryId {
    /// Checks `text` and wraps it.
    pub fn new(text: &str) -> Result<Self, NameError> {
        const RULE: &str =
            "use 1 to 255 characters, not all blank, without '|' and control characters";
        if text.trim().is_empty()
            || text.chars().count() > 255
            || text.contains(|c: char| c == '|' || c.is_control())
        {
            return Err(NameError::new("query name", text, RULE));
        }
        Ok(Self(text.into()))
    }
}

/// The server's opaque version of a record. Never parsed, only compared and sent back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Version(Arc<str>);

impl Version {
    /// Wraps the text a server gave.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text the server gave.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.as_str().to_owned()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_follow_the_rule() {
        for good in ["a", "todoitem", "a1_b", &"a".repeat(64)] {
            assert!(TableName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "1a",
            "_a",
            "__operations",
            "a-b",
            "a b",
            "é",
            &"a".repeat(65),
        ] {
            assert!(TableName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_follow_the_union_of_all_dialects() {
        for good in [
            "a",
            "A-1",
            "x y",
            "é|:.",
            "...",
            "(1)",
            "'",
            &"ü".repeat(255),
        ] {
            assert!(RecordId::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            ".",
            "..",
            "a\"",
            "a+",
            "a?",
            "a\\",
            "a/",
            "a`",
            "a\n",
            "\u{85}",
            &"a".repeat(256),
        ] {
            assert!(RecordId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_are_one_line_without_control_characters() {
        let text = RecordId::new("a\r\n\u{7f}b").unwrap_err().to_string();
        assert!(!text.chars().any(char::is_control), "{text}");
    }
}
