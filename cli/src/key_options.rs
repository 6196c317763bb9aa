//! The keys that go with `--store`, `--to` and `rekey`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use synctable::encrypted::{Anchor, Passphrase, RawKey, Secret};
use synctable::kv::files::sync_folder;
use synctable::{Missing, OpenedStore, StoreUrl};

use crate::errors::{Failure, say};
use crate::given;
use crate::log;

/// The most bytes that are read of a key file: a key has 66 at most, and what is longer is told to be no key.
const KEY_FILE: u64 = 4096;

/// The options that name a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOptions<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) passphrase_env: Option<&'a str>,
    /// Nobody wants to hear warnings.
    pub(crate) quiet: bool,
}

impl KeyOptions<'_> {
    /// The secret that the options name, if any.
    pub(crate) fn secret(self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = self.file {
            let shown = path.display();
            let bytes = given::read(path, KEY_FILE, "the key file ")?;
            let key = RawKey::parse(&bytes)
                .map_err(|error| Failure::bad_input(format!("the key file {shown}: {error}")))?;
            return Ok(Some(Secret::Raw(key)));
        }
        let Some(variable) = self.passphrase_env else {
            return Ok(None);
        };
        let text = given::variable(variable, "with the passphrase")?;
        let passphrase = Passphrase::new(text)
            .map_err(|error| Failure::bad_input(format!("{variable}: {error}")))?;
        Ok(Some(Secret::Passphrase(passphrase)))
    }

    /// The secret that a store is to be given from now on, if any: one that is worth something.
    pub(crate) fn new_secret(self) -> Result<Option<Secret>, Failure> {
        let secret = self.secret()?;
        if let Some(words) = self.exposed() {
            return Err(Failure::bad_input(words));
        }
        if let Some(secret) = &secret {
            secret.check_new()?;
        }
        Ok(secret)
    }

    /// The secret for a store: none for one that is not encrypted, and one for one that is.
    pub(crate) fn secret_of(self, url: &StoreUrl) -> Result<Option<Secret>, Failure> {
        let secret = self.secret()?;
        match (url.is_encrypted(), &secret) {
            (true, None) => Err(Failure::bad_input(format!(
                "{url} is encrypted; give --key-file or --passphrase-env (for a second store --to-key-file or --to-passphrase-env)"
            ))),
            (false, Some(_)) => Err(Failure::bad_input(format!(
                "a key is given, but {url} is not encrypted; leave it out, or put encrypted+ in front"
            ))),
            _ => Ok(secret),
        }
    }

    /// Opens a store with the key that the options name. A new one is made for a key that is worth something alone; for one that is there a
    /// warning has to do.
    pub(crate) fn open(
        self,
        url: &StoreUrl,
        missing: Missing,
        known: Option<Anchor>,
    ) -> Result<OpenedStore, Failure> {
        // Before files are there that go when the store is closed.
        let exposure = url.exposure();
        let mut secret = self.secret_of(url)?;
        if secret.is_some() {
            if missing == Missing::Make && !url.path().exists() {
                secret = self.new_secret()?;
            } else if let Some(words) = self.exposed() {
                self.warn(&words);
            }
        }
        let opened = match known {
            Some(known) => url.open_at_least(secret, missing, known)?,
            None => url.open(secret, missing)?,
        };
        // The log has said it where it shows warnings.
        if !log::shows_warnings()
            && let Some(exposure) = exposure
        {
            self.warn(&exposure);
        }
        Ok(opened)
    }

    /// Opens a store for reading only, with the key that the options name.
    pub(crate) fn open_read_only(
        self,
        url: &StoreUrl,
        known: Option<Anchor>,
    ) -> Result<OpenedStore, Failure> {
        let secret = self.secret_of(url)?;
        Ok(match known {
            Some(known) => url.open_read_only_at_least(secret, known)?,
            None => url.open_read_only(secret)?,
        })
    }

    fn warn(self, words: &str) {
        if !self.quiet {
            say(&format!("warning: {words}"));
        }
    }

    /// What is to be said of a key file that others on this machine can read or change.
    #[cfg(unix)]
    fn exposed(self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.file?;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o077 != 0).then(|| {
            let shown = path.display();
            format!(
                "the key file {shown} is open to others on this machine; give it to its owner alone: chmod 600 {shown}"
            )
        })
    }

    /// Other systems have other rules; there nothing is said.
    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "as on Unix")]
    fn exposed(self) -> Option<String> {
        None
    }
}

/// Makes a file with a new key, for its owner alone.
pub(crate) fn make_key_file(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let key = RawKey::random()?;
    let mut file = options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::bad_input(format!(
            "{shown} is there already; a key is never overwritten"
        )),
        _ => Failure::failed(format!("the key file {shown} cannot be made: {error}")),
    })?;
    let written = file
        .write_all(key.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
            _ => sync_folder(Path::new(".")),
        });
    written.map_err(|error| {
        // Half a key opens nothing; it may not stay in the way of a whole one.
        let _ = fs::remove_file(path);
        Failure::failed(format!("the key file {shown} cannot be written: {error}"))
    })
}
