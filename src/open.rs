//! Opening a store that is named by a URL.

mod read_only;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::brief;
use crate::store::{LocalStore, StoreError, StoreErrorKind};

#[cfg(feature = "encrypted")]
use crate::Threads;
#[cfg(feature = "encrypted")]
use crate::encrypted::{Anchor, Sealed};
#[cfg(feature = "encrypted")]
use crate::kv::{KvBackend, KvReadExt, KvStore, Offloaded, files};

/// A store as a URL names it: `memory:`, `sqlite:PATH`, `redb:PATH`, `sled:PATH`, and `encrypted+sqlite:PATH`, `encrypted+redb:PATH`,
/// `encrypted+sled:PATH`.
///
/// ```
/// use synctable::{StoreKind, StoreUrl};
/// let url: StoreUrl = "encrypted+redb:app.redb".parse().unwrap();
/// assert_eq!((url.kind(), url.is_encrypted()), (StoreKind::Redb, true));
/// assert_eq!(url.to_string(), "encrypted+redb:app.redb");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    kind: StoreKind,
    encrypted: bool,
    path: PathBuf,
}

/// The engines that a URL can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// In memory, gone with the program.
    Memory,
    /// An SQLite file.
    Sqlite,
    /// A redb file.
    Redb,
    /// A sled folder.
    Sled,
}

/// Text that names no store; the message says what does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

/// What to do where there is no store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// Make one.
    Make,
    /// That is an error.
    Refuse,
}

impl StoreKind {
    /// The name in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Redb => "redb",
            Self::Sled => "sled",
        }
    }
}

impl StoreUrl {
    /// The engine.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// True when it names an encrypted store.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The file or folder; empty for one in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to say if other users of the machine may read or write the files of the store, and how to mend it. The files of a new store are
    /// their owner's alone.
    pub fn exposure(&self) -> Option<String> {
        #[cfg(any(
            feature = "sqlite",
            feature = "redb",
            feature = "sled",
            feature = "encrypted"
        ))]
        if self.kind != StoreKind::Memory {
            return crate::kv::files::exposure(&self.path);
        }
        None
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let error = |message: String| Err(UrlError(message));
        let Some((scheme, path)) = text.split_once(':') else {
            return error(format!(
                "it names no kind of store; write sqlite:{}",
                brief(text, 200)
            ));
        };
        let (encrypted, engine) = match scheme.strip_prefix("encrypted+") {
            Some(engine) => (true, engine),
            None => (false, scheme),
        };
        let kind = match engine {
            "memory" if encrypted => {
                return error("a store in memory is not encrypted; write memory:".into());
            }
            "memory" => StoreKind::Memory,
            "sqlite" => StoreKind::Sqlite,
            "redb" => StoreKind::Redb,
            "sled" => StoreKind::Sled,
            _ => {
                return error(
                    "there is no such kind of store; write memory:, or sqlite:PATH, redb:PATH, sled:PATH, each with \
                     encrypted+ in front if it is to be encrypted"
                        .into(),
                );
            }
        };
        if path.starts_with("//") {
            let rest = path.trim_start_matches('/');
            return error(format!(
                "a path begins with no or one slash: write {scheme}:{rest} for one that starts in this folder, or {scheme}:/{rest} for one \
                 that starts at the root"
            ));
        }
        match (kind, path.is_empty()) {
            (StoreKind::Memory, false) => error("a memory store has no path; write memory:".into()),
            (StoreKind::Memory, true) | (_, false) => Ok(Self {
                kind,
                encrypted,
                path: path.into(),
            }),
            (_, true) => error(format!("the path is missing; write {scheme}:PATH")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.encrypted { "encrypted+" } else { "" };
        write!(f, "{prefix}{}:{}", self.kind.as_str(), self.path.display())
    }
}

/// A store, and the handle to change its keys with if it is encrypted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenedStore {
    /// The store.
    pub store: Arc<dyn LocalStore>,
    /// Its seal: to verify it, and to change or rotate its keys.
    #[cfg(feature = "encrypted")]
    pub sealed: Option<Sealed<Arc<dyn KvBackend>>>,
}

/// What opens an encrypted store: a raw key, a passphrase, or where to ask for a key.
#[cfg(feature = "encrypted")]
pub use crate::encrypted::Secret as StoreKey;

/// What opens an encrypted store. Without the feature `encrypted` there is none, so that code that gives no key builds with and without it.
#[cfg(not(feature = "encrypted"))]
#[derive(Debug)]
pub enum StoreKey {}

/// Opens the store that a URL names; makes it where there is none. [`StoreUrl::open`] leaves the choice.
///
/// An encrypted store needs a key, and no other takes one: both are told apart, as
/// [`KeyNeeded`](StoreErrorKind::KeyNeeded) and [`NotEncrypted`](StoreErrorKind::NotEncrypted).
///
/// Not asynchronous: files are opened, and a key is derived from a passphrase, before it returns.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "full")] {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().display();
/// use synctable::encrypted::RawKey;
/// use synctable::{StoreKey, open_store};
///
/// let plain = open_store(&format!("sqlite:{folder}/app.db"), None)?;
/// let key = RawKey::random()?; // kept in the key chain of the system, say
/// let sealed = open_store(&format!("encrypted+redb:{folder}/app.redb"), Some(StoreKey::Raw(key)))?;
/// # }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Unsupported`](StoreErrorKind::Unsupported) for a URL that names no store, or one whose feature is off, and the errors of the store.
pub fn open_store(url: &str, key: Option<StoreKey>) -> Result<Arc<dyn LocalStore>, StoreError> {
    let url: StoreUrl = url.parse().map_err(|error| no_url(&error))?;
    Ok(url.open(key, Missing::Make)?.store)
}

#[cfg(feature = "encrypted")]
fn no_mark() -> StoreError {
    let message = "only an encrypted store says how far it has come";
    StoreError::new(StoreErrorKind::NotEncrypted, message)
}

#[cfg(feature = "encrypted")]
fn key_needed() -> StoreError {
    let message = "the store is encrypted; give its key or passphrase";
    StoreError::new(StoreErrorKind::KeyNeeded, message)
}

/// The key of a store that takes none.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a key that is given is used up"
)]
fn refuse_key(key: Option<StoreKey>) -> Result<(), StoreError> {
    if key.is_some() {
        let message = "a key is given, but the URL names a store that is not encrypted; leave out the key, or put encrypted+ in front";
        return Err(StoreError::new(StoreErrorKind::NotEncrypted, message));
    }
    Ok(())
}

fn no_url(error: &UrlError) -> StoreError {
    let message = format!("the URL of the store cannot be used: {error}");
    StoreError::new(StoreErrorKind::Unsupported, message)
}

#[cfg(not(all(
    feature = "memory",
    feature = "sqlite",
    feature = "redb",
    feature = "sled",
    feature = "encrypted"
)))]
fn feature_off(feature: &str) -> StoreError {
    let message = format!(
        "this program was built without stores of this kind; build it with the feature {feature} of synctable"
    );
    StoreError::new(StoreErrorKind::Unsupported, message)
}

impl StoreUrl {
    /// Opens the store.
    ///
    /// # Errors
    /// As those of [`open_store`].
    pub fn open(&self, key: Option<StoreKey>, missing: Missing) -> Result<OpenedStore, StoreError> {
        if self.encrypted {
            return self.sealed(key, missing);
        }
        refuse_key(key)?;
        Ok(OpenedStore {
            store: self.plain(missing)?,
            #[cfg(feature = "encrypted")]
            sealed: None,
        })
    }

    /// Opens an encrypted store that is known to have come as far as `known` ([`Sealed::anchor`]): an older copy of it, or none where there
    /// was one, is [`Tampered`](StoreErrorKind::Tampered).
    ///
    /// # Errors
    /// As those of [`open_store`], and [`NotEncrypted`](StoreErrorKind::NotEncrypted) for a store that is not encrypted, which has no such mark.
    #[cfg(feature = "encrypted")]
    pub fn open_at_least(
        &self,
        key: Option<StoreKey>,
        missing: Missing,
        known: Anchor,
    ) -> Result<OpenedStore, StoreError> {
        if self.encrypted {
            return self.sealed_at_least(key, missing, known);
        }
        Err(no_mark())
    }

    #[cfg(feature = "encrypted")]
    fn sealed(&self, key: Option<StoreKey>, missing: Missing) -> Result<OpenedStore, StoreError> {
        self.sealed_at_least(key, missing, Anchor::default())
    }

    #[cfg(feature = "encrypted")]
    fn sealed_at_least(
        &self,
        key: Option<StoreKey>,
        missing: Missing,
        known: Anchor,
    ) -> Result<OpenedStore, StoreError> {
        let key = key.ok_or_else(key_needed)?;
        // What was there is not made anew.
        let create = missing == Missing::Make && known == Anchor::default();
        if create && !self.path.exists() {
            // Before the engine makes a file that no store comes into.
            key.check_new()?;
            self.make_sealed(&key)?;
        }
        let engine = self.engine(&self.path, false)?;
        if known == Anchor::default() {
            self.check_holds_something(&engine)?;
        }
        let sealed = Sealed::builder(engine).secret(key).at_least(known).open()?;
        Ok(OpenedStore {
            store: Arc::new(Offloaded::new(
                KvStore::open(sealed.clone())?,
                Arc::new(Threads::new()),
            )),
            sealed: Some(sealed),
        })
    }

    /// Makes a file or folder that has its name only with the store in it.
    #[cfg(feature = "encrypted")]
    fn make_sealed(&self, key: &StoreKey) -> Result<(), StoreError> {
        files::folder_of(&self.path)?;
        // The engine, which looks for the log of a file that is gone, does not see this name.
        if self.kind == StoreKind::Sqlite
            && let Some(stray) = files::stray(&self.path)?
            // Unless another process has just made the file, and its log.
            && !self.path.exists()
        {
            return Err(stray);
        }
        files::make_folder(&self.path, |draft| {
            Sealed::make(self.engine(draft, true)?, key)
        })
    }

    /// A file comes with its store in it, so one that holds nothing was emptied. A new store in it would look like one that was never used.
    #[cfg(feature = "encrypted")]
    fn check_holds_something(&self, engine: &Arc<dyn KvBackend>) -> Result<(), StoreError> {
        let snapshot = engine.snapshot()?;
        if snapshot.is_vacant(&[][..]..&[u8::MAX; 64][..])? {
            let message = format!(
                "{} holds nothing, so its store was taken out of it; put a backup in its place, or remove it if it is known that it never \
                 held one",
                files::shown(&self.path)
            );
            return Err(StoreError::new(StoreErrorKind::Tampered, message));
        }
        Ok(())
    }

    #[cfg(not(feature = "encrypted"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn sealed(&self, _: Option<StoreKey>, _: Missing) -> Result<OpenedStore, StoreError> {
        Err(feature_off("encrypted"))
    }

    #[allow(unused_variables, reason = "without features there is nothing to make")]
    fn plain(&self, missing: Missing) -> Result<Arc<dyn LocalStore>, StoreError> {
        let create = missing == Missing::Make;
        match self.kind {
            #[cfg(feature = "memory")]
            StoreKind::Memory => Ok(Arc::new(crate::MemoryStore::new())),
            #[cfg(feature = "sqlite")]
            StoreKind::Sqlite => Ok(Arc::new(
                crate::SqliteStore::builder(&self.path)
                    .create(create)
                    .open()?,
            )),
            #[cfg(feature = "redb")]
            StoreKind::Redb => Ok(Arc::new(
                crate::RedbStore::builder(&self.path)
                    .create(create)
                    .open()?,
            )),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Ok(Arc::new(
                crate::SledStore::builder(&self.path)
                    .create(create)
                    .open()?,
            )),
            #[cfg(not(all(
                feature = "memory",
                feature = "sqlite",
                feature = "redb",
                feature = "sled"
            )))]
            kind => Err(feature_off(kind.as_str())),
        }
    }

    /// The engine under an encrypted store.
    #[cfg(feature = "encrypted")]
    #[allow(unused_variables, reason = "without features there is nothing to make")]
    fn engine(&self, path: &Path, create: bool) -> Result<Arc<dyn KvBackend>, StoreError> {
        match self.kind {
            #[cfg(feature = "sqlite")]
            StoreKind::Sqlite => Ok(Arc::new(
                crate::SqliteKv::builder(path).create(create).open()?,
            )),
            #[cfg(feature = "redb")]
            StoreKind::Redb => Ok(Arc::new(
                crate::RedbStore::builder(path).create(create).backend()?,
            )),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Ok(Arc::new(
                crate::SledStore::builder(path).create(create).backend()?,
            )),
            #[cfg(not(all(feature = "sqlite", feature = "redb", feature = "sled")))]
            kind if kind != StoreKind::Memory => Err(feature_off(kind.as_str())),
            _ => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "a store in memory is not encrypted",
            )),
        }
    }
}
