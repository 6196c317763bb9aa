//! `--store`: which kind of store, and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use synctable::store::{LocalStore, StoreError};
use synctable::{MemoryStore, SqliteStore};

/// A store as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// Gone when the command ends.
    Memory,
    Sqlite(PathBuf),
}

/// What to do where there is no store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

const LATER: [&str; 5] = [
    "sled",
    "redb",
    "encrypted+sqlite",
    "encrypted+sled",
    "encrypted+redb",
];

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, path)) = text.split_once(':') else {
            return Err(format!("it names no kind of store; write sqlite:{text}"));
        };
        match scheme {
            "memory" if path.is_empty() => Ok(Self::Memory),
            "memory" => Err("a memory store has no path; write memory:".into()),
            "sqlite" if path.is_empty() => Err("the path is missing; write sqlite:PATH".into()),
            "sqlite" => Ok(Self::Sqlite(path.into())),
            _ if LATER.contains(&scheme) => Err(format!(
                "{scheme} stores come with a later release; use sqlite:PATH"
            )),
            _ => Err("there is no such kind of store; write sqlite:PATH or memory:".into()),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl StoreUrl {
    pub(crate) fn open(&self, missing: Missing) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new()),
            Self::Sqlite(path) => Arc::new(
                SqliteStore::builder(path)
                    .create(missing == Missing::Make)
                    .open()?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_kind_of_store() {
        let path = StoreUrl::Sqlite("dir/a:b.db".into());
        assert_eq!("sqlite:dir/a:b.db".parse(), Ok(path.clone()));
        assert_eq!(path.to_string().parse(), Ok(path));
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        for bad in [
            "",
            "app.db",
            "sqlite:",
            "memory:x",
            "redb:x",
            "encrypted+sqlite:x",
            "ftp:x",
        ] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
    }
}
