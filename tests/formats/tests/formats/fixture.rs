//! The fixtures, unpacked to folders that may be written to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use synctable::encrypted::{Passphrase, RawKey};
use synctable::store::{LocalStore, StoreError};
use synctable::{Declarations, Missing, StoreKey, StoreUrl};
use tempfile::TempDir;

/// The releases that have fixtures, a folder each; a release that writes another format adds its own.
pub(crate) const RELEASES: [&str; 3] = ["0.1", "before-0.2", "0.2-dev"];

/// Those whose stores are brought forward.
const EARLIER: [&str; 2] = ["0.1", "before-0.2"];

/// The stores that a release has, by the names of their folders, with the scheme of their URL; a new kind of store adds itself, plain and sealed.
pub(crate) const STORES: [(&str, &str); 6] = [
    ("sqlite", "sqlite"),
    ("redb", "redb"),
    ("sled", "sled"),
    ("encrypted-sqlite", "encrypted+sqlite"),
    ("encrypted-redb", "encrypted+redb"),
    ("encrypted-sled", "encrypted+sled"),
];

/// The tables of the device, as `expected` has them.
pub(crate) const TABLES: [&str; 4] = ["drafts", "movies", "notes", "people"];

/// Where the fixtures are.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// One of them, unpacked.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// Release and store, for messages.
    pub(crate) name: String,
    scheme: &'static str,
    packed: PathBuf,
    folder: PathBuf,
    /// Removed with the fixture.
    _temporary: Option<TempDir>,
}

impl Fixture {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let both = |release| STORES.map(|store| Self::unpacked(release, store));
        RELEASES.into_iter().flat_map(both)
    }

    fn unpacked(release: &str, (store, scheme): (&str, &'static str)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let fixture = Self {
            folder: temporary.path().canonicalize().unwrap(),
            _temporary: Some(temporary),
            ..Self::left_in(PathBuf::new(), &format!("{release}/{store}"), scheme)
        };
        for file in text(&fixture.packed.join("listing")).lines() {
            unpack(&fixture.packed, file, &fixture.folder);
        }
        fixture
    }

    /// The one of this name, as it is by now in a folder where it was unpacked.
    pub(crate) fn left_in(folder: PathBuf, name: &str, scheme: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            scheme,
            packed: fixtures().join(name),
            folder,
            _temporary: None,
        }
    }

    /// True where its stores are brought forward.
    pub(crate) fn is_earlier(&self) -> bool {
        EARLIER.iter().any(|release| self.name.starts_with(release))
    }

    /// Where it was unpacked.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, of: &str) -> PathBuf {
        let engine = self.scheme.trim_start_matches("encrypted+");
        self.folder.join(format!("{of}.{engine}"))
    }

    /// The file or folder of the device's store.
    pub(crate) fn device_path(&self) -> PathBuf {
        self.path("device")
    }

    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Opens the device's store. One that said how far it had come has to be as far.
    pub(crate) fn device(&self) -> Arc<dyn LocalStore> {
        self.try_device()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn device_url(&self) -> StoreUrl {
        let url = format!("{}:{}", self.scheme, self.device_path().display());
        url.parse().unwrap()
    }

    fn server_url(&self) -> StoreUrl {
        let engine = self.scheme.trim_start_matches("encrypted+");
        let url = format!("{engine}:{}", self.path("server").display());
        url.parse().unwrap()
    }

    /// Opens the device's store for reading only.
    pub(crate) fn device_read_only(&self) -> Arc<dyn LocalStore> {
        let known = fs::read_to_string(self.packed.join("expected/at-least"));
        let opened = match known {
            Ok(known) => {
                let known = known.trim().parse().unwrap();
                self.device_url()
                    .open_read_only_at_least(self.secret(), known)
            }
            Err(_) => self.device_url().open_read_only(self.secret()),
        };
        opened
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
            .store
    }

    /// Opens the store of the server that the device had met for reading only.
    pub(crate) fn server_read_only(&self) -> Arc<dyn LocalStore> {
        self.server_url()
            .open_read_only(None)
            .unwrap_or_else(|error| panic!("the server of {}: {error}", self.name))
            .store
    }

    /// The same fixture, whose stores are in another folder.
    pub(crate) fn copied_to(&self, folder: &Path) -> Self {
        Self::left_in(folder.to_owned(), &self.name, self.scheme)
    }

    /// As [`device`](Self::device), where that may fail.
    pub(crate) fn try_device(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        let url = self.device_url();
        let known = fs::read_to_string(self.packed.join("expected/at-least"));
        let opened = match known {
            Ok(known) => {
                let known = known.trim().parse().unwrap();
                url.open_at_least(self.secret(), Missing::Refuse, known)
            }
            Err(_) => url.open(self.secret(), Missing::Refuse),
        };
        Ok(opened?.store)
    }

    /// Opens the store of the server that the device had met.
    pub(crate) fn server(&self) -> Arc<dyn LocalStore> {
        self.server_url()
            .open(None, Missing::Refuse)
            .unwrap_or_else(|error| panic!("the server of {}: {error}", self.name))
            .store
    }

    fn secret(&self) -> Option<StoreKey> {
        if let Ok(key) = fs::read(self.packed.join("key")) {
            return Some(StoreKey::Raw(RawKey::parse(&key).unwrap()));
        }
        let words = fs::read_to_string(self.packed.join("passphrase")).ok()?;
        Some(StoreKey::Passphrase(Passphrase::new(words).unwrap()))
    }

    /// The lines that the release printed.
    pub(crate) fn expected(&self, what: &str) -> Vec<String> {
        let path = self.packed.join("expected").join(format!("{what}.jsonl"));
        text(&path).lines().map(str::to_owned).collect()
    }

    fn declared(&self, file: &str) -> Declarations {
        Declarations::from_json(&text(&self.packed.with_file_name(file))).unwrap()
    }

    /// What the device declared.
    pub(crate) fn schema(&self) -> Declarations {
        self.declared("schema.json")
    }

    /// What the server declared.
    pub(crate) fn served(&self) -> Declarations {
        self.declared("served.json")
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Unpacks a file of a listing, or makes an empty folder of it.
fn unpack(packed: &Path, file: &str, folder: &Path) {
    let target = folder.join(file);
    if file.ends_with('/') {
        fs::create_dir_all(target).unwrap();
        return;
    }
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let source = File::open(packed.join(format!("{file}.gz"))).unwrap();
    io::copy(
        &mut GzDecoder::new(source),
        &mut File::create(target).unwrap(),
    )
    .unwrap();
}
