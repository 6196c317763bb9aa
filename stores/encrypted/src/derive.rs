//! Keys from keys: HKDF-SHA-256, one label for each use, and HMAC-SHA-256 with a state that is made once.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use synctable_core::store::{StoreError, StoreErrorKind};
use zeroize::Zeroizing;

use crate::key::{KEY_LEN, RawKey, random};

/// Begins every label, and names the version of all derivations.
const LABEL: &[u8] = b"synctable sealed 1 ";

/// The random number of a store, bound into all that is sealed in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

impl StoreId {
    pub(crate) fn random() -> Result<Self, StoreError> {
        random().map(Self)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreId(..)")
    }
}

/// A key from which others are derived.
pub(crate) struct Root(Hkdf<Sha256>);

impl Root {
    pub(crate) fn new(salt: &[u8], key: &RawKey) -> Self {
        Self(Hkdf::new(Some(salt), key.as_bytes()))
    }

    /// The key of one use, in one context.
    pub(crate) fn derive(&self, label: &str, context: &[u8]) -> Result<RawKey, StoreError> {
        let mut key = RawKey::zero();
        let info = [LABEL, label.as_bytes(), &[0], context];
        self.0
            .expand_multi_info(&info, key.bytes_mut())
            .map_err(|_| StoreError::new(StoreErrorKind::Other, "a key cannot be derived"))?;
        Ok(key)
    }
}

/// HMAC-SHA-256 under one key, which is taken in once. Wiped when it is dropped.
pub(crate) struct Prf(Hmac<Sha256>);

impl Prf {
    pub(crate) fn new(key: &RawKey) -> Self {
        // A key shorter than a block is filled up with zeros.
        let mut block = Zeroizing::new([0; 64]);
        let (start, _) = block.split_at_mut(KEY_LEN);
        start.copy_from_slice(key.as_bytes());
        Self(Hmac::new((&*block).into()))
    }

    /// HMAC of the parts, one after the other.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The first half of [`of`](Self::of).
    pub(crate) fn token(&self, text: &[u8]) -> [u8; 16] {
        let [token @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.of(&[text]);
        token
    }
}
