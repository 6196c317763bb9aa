//! The keys that go with `--store`, `--to` and `rekey`.

use std::fs;
use std::path::Path;

use synctable::encrypted::{Passphrase, RawKey, Secret};
use synctable::{Missing, OpenedStore, StoreUrl};

use crate::errors::Failure;

/// The options that name a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOptions<'a> {
    pub(crate) file: Option<&'a Path>,
    pub(crate) passphrase_env: Option<&'a str>,
}

impl KeyOptions<'_> {
    /// The secret that the options name, if any.
    pub(crate) fn secret(self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = self.file {
            let shown = path.display();
            let bytes = fs::read(path).map_err(|error| {
                Failure::bad_input(format!("the key file {shown} cannot be read: {error}"))
            })?;
            let key = RawKey::parse(&bytes)
                .map_err(|error| Failure::bad_input(format!("the key file {shown}: {error}")))?;
            return Ok(Some(Secret::Raw(key)));
        }
        let Some(variable) = self.passphrase_env else {
            return Ok(None);
        };
        let text = std::env::var(variable).map_err(|_| {
            Failure::bad_input(format!(
                "the environment variable {variable} with the passphrase is not set"
            ))
        })?;
        let passphrase = Passphrase::new(text)
            .map_err(|error| Failure::bad_input(format!("{variable}: {error}")))?;
        Ok(Some(Secret::Passphrase(passphrase)))
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

    /// Opens a store with the key that the options name.
    pub(crate) fn open(self, url: &StoreUrl, missing: Missing) -> Result<OpenedStore, Failure> {
        Ok(url.open(self.secret_of(url)?, missing)?)
    }
}
