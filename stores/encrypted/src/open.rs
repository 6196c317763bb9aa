//! Opening and making sealed stores.

use std::sync::{Arc, Mutex, RwLock};

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{KvBackend, KvBatch, KvRead, KvReadExt, Limits};

use crate::anchor::Anchor;
use crate::cache::Cache;
use crate::cipher::tampered;
use crate::directory::Directory;
use crate::forward::Forward;
use crate::header::{FIRST, Header, KeyRing};
use crate::kdf::Argon2Params;
use crate::key::{KeyProvider, Passphrase, RawKey, Secret};
use crate::layout::{ENTRIES, HEADER, Layout, MANIFEST, epoch};
use crate::manifest::{Manifest, Tally};
use crate::older::Older;
use crate::scan::{EVERYTHING, each};
use crate::sealed::{Inner, Sealed, borrowed};
use crate::writer::{Opened, Writer};

/// How to open a sealed store; made by [`Sealed::builder`].
#[derive(Debug)]
#[must_use = "nothing is opened yet"]
pub struct SealedBuilder<B> {
    backend: B,
    secret: Option<Secret>,
    create: bool,
    at_least: Anchor,
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
            at_least: Anchor::default(),
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

    /// How far the store is known to have come: an older copy of it, or none at all where there was one, is
    /// [`Tampered`](StoreErrorKind::Tampered). [`Sealed::anchor`] gives what to keep.
    pub fn at_least(mut self, known: Anchor) -> Self {
        self.at_least = known;
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

    /// Opens the store. One of release 0.1 is read as a whole and brought forward in place: 0.1 does not open it any more. One with a rotation that was
    /// cut off is read as far as the rotation did not come. Over an engine that is open for reading only ([`Promises::read_only`](synctable_kv::Promises::read_only)) all
    /// is verified as always, and nothing is written.
    ///
    /// # Errors
    /// [`KeyNeeded`](StoreErrorKind::KeyNeeded) without a secret, [`WeakPassphrase`](StoreErrorKind::WeakPassphrase) if a store would be made with one, [`WrongKey`](StoreErrorKind::WrongKey),
    /// [`Tampered`](StoreErrorKind::Tampered), [`NotEncrypted`](StoreErrorKind::NotEncrypted) if the engine holds a store
    /// that is not encrypted, [`NotAStore`](StoreErrorKind::NotAStore) if it holds something else,
    /// [`FormatTooNew`](StoreErrorKind::FormatTooNew), and the errors of the engine.
    pub fn open(self) -> Result<Sealed<B>, StoreError> {
        let secret = self.secret.as_ref().ok_or_else(|| {
            let message =
                "the store is to be encrypted, but no key is given; give a key or a passphrase";
            StoreError::new(StoreErrorKind::KeyNeeded, message)
        })?;
        if self.backend.limits().longest_key < Limits::LEAST_KEY {
            let message =
                "the keys of this engine are too short for a sealed store; choose another one";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        // The snapshot is gone before anything is written.
        let found = {
            let snapshot = self.backend.snapshot()?;
            Found::look(&*snapshot, secret, self.at_least)?
        };
        let (mut unwritten, mut kept) = (None, false);
        let (header, ring, manifest) = match found {
            Found::Whole(header, ring, manifest) => (header, ring, manifest),
            Found::First(forward) if self.backend.promises().read_only => {
                let (header, ring, manifest, batch) = forward.unwritten()?;
                unwritten = Some(batch);
                (header, ring, manifest)
            }
            Found::First(forward) => {
                self.backend.keep_earlier(FIRST.into())?;
                kept = true;
                forward.write(&self.backend)?
            }
            Found::Nothing if self.create => {
                self.at_least.check_new()?;
                self.made(secret)?
            }
            Found::Nothing => {
                self.at_least.check_new()?;
                let message = "there is no store here; check the path, or allow that one is made";
                return Err(StoreError::new(StoreErrorKind::Io, message));
            }
        };
        let opened = Opened::new(header, Arc::new(ring));
        let layout = Layout {
            equality: opened.header.equality(),
        };
        Ok(Sealed::new(Inner {
            backend: self.backend,
            layout,
            store_id: *opened.header.store_id(),
            opened: RwLock::new(opened),
            writer: Mutex::new(Writer::new(manifest)),
            directory: Mutex::new(Directory::default()),
            cache: Mutex::new(Cache::new(self.cache)),
            unwritten,
            kept,
        }))
    }

    /// Makes a new store: header and manifest in one write.
    fn made(&self, secret: &Secret) -> Result<(Header, KeyRing, Manifest), StoreError> {
        secret.check_new()?;
        let (header, ring) = Header::create(secret, &self.kdf, self.equality)?;
        let manifest = Manifest::new(&header);
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(HEADER.to_vec(), header.encode());
        let sealed = manifest.seal(ring.current(), header.store_id())?;
        batch.put(MANIFEST.to_vec(), sealed);
        batch.write_to(&self.backend)?;
        Ok((header, ring, manifest))
    }
}

impl<B: KvBackend> Sealed<B> {
    /// Makes a new store in an engine that holds nothing, and closes the engine. For whoever makes files under another name and gives them
    /// theirs when the store is in them: then an engine that holds nothing has lost its store, whatever ended the making of it.
    ///
    /// # Errors
    /// As those of [`SealedBuilder::open`]; [`NotAStore`](StoreErrorKind::NotAStore) if the engine holds something.
    pub fn make(backend: B, secret: &Secret) -> Result<(), StoreError> {
        let builder = SealedBuilder::new(backend);
        let is_new = {
            let snapshot = builder.backend.snapshot()?;
            snapshot.is_vacant(EVERYTHING)?
        };
        let made = if is_new {
            builder.made(secret).map(drop)
        } else {
            let message = "a new store cannot be made here: something is here already";
            Err(StoreError::new(StoreErrorKind::NotAStore, message))
        };
        made.and(builder.backend.close())
    }
}

/// What an engine holds, opened and compared.
enum Found {
    Nothing,
    Whole(Header, KeyRing, Manifest),
    /// A store of release 0.1.
    First(Forward),
}

impl Found {
    fn look(snapshot: &dyn KvRead, secret: &Secret, at_least: Anchor) -> Result<Self, StoreError> {
        let Some(header) = snapshot.get(HEADER)? else {
            if snapshot.is_vacant(EVERYTHING)? {
                return Ok(Self::Nothing);
            }
            let message =
                "the database holds something other than a synctable store; choose another path";
            return Err(StoreError::new(StoreErrorKind::NotAStore, message));
        };
        let header = Header::decode(&header)?;
        let (_, mut ring) = header.unlock(secret)?;
        let manifest = snapshot.get(MANIFEST)?.ok_or_else(tampered)?;
        if header.is_first() {
            let forward = Forward::plan(snapshot, &header, ring, &manifest, at_least)?;
            return Ok(Self::First(forward));
        }
        let manifest = Manifest::of_header(&header, ring.current(), &manifest)?;
        at_least.check(Anchor::new(manifest.counter, ring.current().epoch()))?;
        // A store that was emptied is found at once; what else is missing shows when all is verified.
        let empty = snapshot.is_vacant(ENTRIES)?;
        if empty != (manifest.entries() == 0) {
            return Err(tampered());
        }
        ring.accept(verified(snapshot, &ring, &manifest)?);
        Ok(Self::Whole(header, ring, manifest))
    }
}

/// The entries of the older epoch, which have to be those that the manifest counts. There are some only within a rotation.
fn verified(
    snapshot: &dyn KvRead,
    ring: &KeyRing,
    manifest: &Manifest,
) -> Result<Older, StoreError> {
    let (mut older, mut found) = (Older::default(), Tally::default());
    if let Some(keys) = ring.older() {
        for places in epoch(keys) {
            each(snapshot, borrowed(&places), |physical, blob| {
                let code = ring.current().older_term(physical, blob);
                found.add(&code)?;
                older.insert(physical, &code);
                Ok(())
            })?;
        }
    }
    if found == manifest.older {
        return Ok(older);
    }
    Err(tampered())
}
