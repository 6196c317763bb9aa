//! Opening and making sealed stores.

use std::sync::{Arc, Mutex, RwLock};

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{KvBackend, KvBatch, KvSnapshot};

use crate::cache::Cache;
use crate::cipher::tampered;
use crate::directory::Directory;
use crate::header::Header;
use crate::kdf::Argon2Params;
use crate::key::{KeyProvider, Passphrase, RawKey, Secret};
use crate::layout::{HEADER, Layout, MANIFEST};
use crate::manifest::Manifest;
use crate::sealed::{Inner, Opened, Sealed, Writer};

/// How to open a sealed store; made by [`Sealed::builder`].
#[derive(Debug)]
#[must_use = "nothing is opened yet"]
pub struct SealedBuilder<B> {
    backend: B,
    secret: Option<Secret>,
    create: bool,
    equality: bool,
    kdf: Argon2Params,
    cache: usize,
}

/// The bytes of opened values that are held where it is not said.
const CACHE: usize = 8 << 20;

impl<B: KvBackend> SealedBuilder<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self {
            backend,
            secret: None,
            create: false,
            equality: false,
            kdf: Argon2Params::default(),
            cache: CACHE,
        }
    }

    /// Opens with a key of 32 bytes.
    pub fn raw_key(self, key: RawKey) -> Self {
        self.secret(Secret::Raw(key))
    }

    /// Opens with a passphrase.
    pub fn passphrase(self, passphrase: Passphrase) -> Self {
        self.secret(Secret::Passphrase(passphrase))
    }

    /// Opens with a key that the application keeps elsewhere.
    pub fn key_provider(self, provider: Arc<dyn KeyProvider>) -> Self {
        self.secret(Secret::Provider(provider))
    }

    /// Opens with any kind of secret.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Whether an engine that holds nothing becomes a new store. An error by default: a path that is not the right one, or a file that was
    /// lost, must not look like a store without records.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether a new store keeps declared indexes, for queries that fix all their fields by equality. Off by default, as it shows
    /// whoever reads the files which records have equal values in an index. A store stays as it was made.
    pub fn equality_indexes(mut self, yes: bool) -> Self {
        self.equality = yes;
        self
    }

    /// What deriving the key from a passphrase costs in a new store. Default: [`Argon2Params::default`].
    pub fn kdf(mut self, params: Argon2Params) -> Self {
        self.kdf = params;
        self
    }

    /// How many bytes of opened values are held in memory, about, so that what is read often by its id is not opened each time; 0
    /// holds none. Default 8 MiB. They are plain text, and are wiped when they make room for others or the store is closed.
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`KeyNeeded`](StoreErrorKind::KeyNeeded) without a secret, [`WrongKey`](StoreErrorKind::WrongKey),
    /// [`Tampered`](StoreErrorKind::Tampered), [`NotEncrypted`](StoreErrorKind::NotEncrypted) if the engine holds a store
    /// that is not encrypted, [`NotAStore`](StoreErrorKind::NotAStore) if it holds something else,
    /// [`FormatTooNew`](StoreErrorKind::FormatTooNew), and the errors of the engine.
    pub fn open(self) -> Result<Sealed<B>, StoreError> {
        let secret = self.secret.as_ref().ok_or_else(|| {
            let message =
                "the store is to be encrypted, but no key is given; give a key or a passphrase";
            StoreError::new(StoreErrorKind::KeyNeeded, message)
        })?;
        // The snapshot is gone before anything is written.
        let stored = {
            let snapshot = self.backend.snapshot()?;
            stored(&*snapshot)?
        };
        let (opened, manifest) = match stored {
            Some((header, manifest)) => {
                let header = Header::decode(&header)?;
                let (_, ring) = header.unlock(secret)?;
                let manifest = manifest.ok_or_else(tampered)?;
                let manifest = Manifest::open(ring.current(), header.store_id(), &manifest)?;
                (Opened::new(header, ring), manifest)
            }
            None if self.create => (self.made(secret)?, Manifest::default()),
            None => {
                let message = "there is no store here; check the path, or allow that one is made";
                return Err(StoreError::new(StoreErrorKind::Io, message));
            }
        };
        let layout = Layout {
            equality: opened.header.equality(),
        };
        Ok(Sealed::new(Inner {
            backend: self.backend,
            layout,
            store_id: *opened.header.store_id(),
            opened: RwLock::new(opened),
            writer: Mutex::new(Writer::Ready(manifest)),
            directory: Mutex::new(Directory::default()),
            cache: Mutex::new(Cache::new(self.cache)),
        }))
    }

    /// Makes a new store: header and manifest in one write.
    fn made(&self, secret: &Secret) -> Result<Opened, StoreError> {
        let (header, ring) = Header::create(secret, &self.kdf, self.equality)?;
        let manifest = Manifest::default().seal(ring.current(), header.store_id())?;
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(HEADER.to_vec(), header.encode());
        batch.put(MANIFEST.to_vec(), manifest);
        self.backend.write(&batch)?;
        Ok(Opened::new(header, ring))
    }
}

/// Header and manifest, if there is a header; nothing if the engine holds nothing.
#[expect(
    clippy::type_complexity,
    reason = "two values as the engine gives them"
)]
fn stored(snapshot: &dyn KvSnapshot) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    if let Some(header) = snapshot.get(HEADER)? {
        return Ok(Some((header, snapshot.get(MANIFEST)?)));
    }
    if snapshot.scan(&[][..]..&[u8::MAX; 64][..], 1)?.is_empty() {
        return Ok(None);
    }
    let message = "the database holds something other than a synctable store; choose another path";
    Err(StoreError::new(StoreErrorKind::NotAStore, message))
}
