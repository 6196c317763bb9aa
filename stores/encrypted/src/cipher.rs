//! Sealing: XAES-256-GCM blobs, and the keys of one epoch.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use synctable_core::store::{StoreError, StoreErrorKind};
use xaes_256_gcm::Xaes256Gcm;
use zeroize::Zeroizing;

use crate::derive::{Prf, Root, StoreId};
use crate::key::{RawKey, random};

/// The version of blobs and the number of the set of algorithms.
pub(crate) const FORMAT: u8 = 1;
pub(crate) const SUITE: u8 = 1;

const NONCE: usize = 24;
const TAG: usize = 16;
/// Version, suite, epoch.
const PREFIX: usize = 6;

/// What is sealed: no blob of one kind opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Entry,
    /// As the first format has it.
    FirstManifest,
    Manifest,
}

impl Kind {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Entry => b"entry",
            Self::FirstManifest => b"manifest",
            Self::Manifest => b"manifest 2",
        }
    }
}

/// What a blob is bound to: it opens only in this store, at this place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aad<'a> {
    pub(crate) store_id: &'a StoreId,
    pub(crate) kind: Kind,
    pub(crate) physical: &'a [u8],
    pub(crate) epoch: u32,
}

impl Aad<'_> {
    /// Every field behind its length, so that no two contexts read alike.
    fn encode(&self) -> Vec<u8> {
        let epoch = self.epoch.to_be_bytes();
        let fields: [&[u8]; 6] = [
            b"synctable sealed",
            &[FORMAT, SUITE],
            &self.store_id.0,
            self.kind.name(),
            self.physical,
            &epoch,
        ];
        let len = fields.iter().map(|field| 4 + field.len()).sum();
        let mut aad = Vec::with_capacity(len);
        for field in fields {
            push_field(&mut aad, field);
        }
        aad
    }
}

/// Adds a field behind its length.
pub(crate) fn push_field(text: &mut Vec<u8>, field: &[u8]) {
    // Fields are names, numbers and physical keys: far below 4 GiB.
    let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
    text.extend_from_slice(&len.to_be_bytes());
    text.extend_from_slice(field);
}

/// The keys that are derived from the data key of one epoch. Wiped when dropped.
pub(crate) struct EpochKeys {
    epoch: u32,
    records: Xaes256Gcm,
    names: Prf,
    indexes: Prf,
    manifest: Prf,
    older: Prf,
    header: Prf,
}

impl EpochKeys {
    pub(crate) fn derive(
        epoch: u32,
        data_key: &RawKey,
        store_id: &StoreId,
    ) -> Result<Self, StoreError> {
        let root = Root::new(&store_id.0, data_key);
        let key = |label| root.derive(label, &epoch.to_be_bytes());
        let prf = |label| key(label).map(|key| Prf::new(&key));
        Ok(Self {
            epoch,
            records: Xaes256Gcm::new(key("records")?.as_bytes().into()),
            names: prf("names")?,
            indexes: prf("indexes")?,
            manifest: prf("manifest")?,
            older: prf("older")?,
            header: prf("header")?,
        })
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The blob of `plain`: another one at each call.
    pub(crate) fn seal(&self, aad: &Aad<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal_with(aad, plain, &random()?)
    }

    /// As [`seal`](Self::seal), with a nonce that nothing else was sealed with.
    pub(crate) fn seal_with(
        &self,
        aad: &Aad<'_>,
        plain: &[u8],
        nonce: &[u8; NONCE],
    ) -> Result<Vec<u8>, StoreError> {
        let mut blob = Vec::with_capacity(PREFIX + NONCE + plain.len() + TAG);
        blob.extend_from_slice(&[FORMAT, SUITE]);
        blob.extend_from_slice(&self.epoch.to_le_bytes());
        blob.extend_from_slice(nonce);
        blob.extend_from_slice(plain);
        let (_, text) = blob.split_at_mut(PREFIX + NONCE);
        let tag = self
            .records
            .encrypt_inout_detached(nonce.into(), &aad.encode(), InOutBuf::from(text))
            .map_err(|_| {
                let message = "an entry is too large to be sealed; it takes less than 64 GiB";
                StoreError::new(StoreErrorKind::Unsupported, message)
            })?;
        blob.extend_from_slice(&tag);
        Ok(blob)
    }

    /// What was sealed. [`Tampered`](StoreErrorKind::Tampered) if the blob is not what was sealed at this
    /// place, [`FormatTooNew`](StoreErrorKind::FormatTooNew) if a newer release sealed it.
    pub(crate) fn open(
        &self,
        aad: &Aad<'_>,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if blob_epoch(blob)? != self.epoch {
            return Err(tampered());
        }
        let (_, rest) = blob.split_at_checked(PREFIX).ok_or_else(tampered)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or_else(tampered)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or_else(tampered)?;
        let mut plain = Zeroizing::new(text.to_vec());
        self.records
            .decrypt_inout_detached(
                nonce.into(),
                &aad.encode(),
                InOutBuf::from(plain.as_mut_slice()),
                tag.into(),
            )
            .map_err(|_| tampered())?;
        Ok(plain)
    }

    /// Stands for a key of the store in a physical key.
    pub(crate) fn name_token(&self, text: &[u8]) -> [u8; 16] {
        self.names.token(text)
    }

    /// Stands for the values of an index entry in a physical key.
    pub(crate) fn index_token(&self, text: &[u8]) -> [u8; 16] {
        self.indexes.token(text)
    }

    /// What an entry adds to the sum in the manifest; a tag has always the same length.
    pub(crate) fn manifest_term(&self, physical: &[u8], tag: &[u8]) -> [u8; 32] {
        self.manifest.of(&[physical, tag])
    }

    /// What an entry of the epoch before adds to the sum of those in the manifest. It covers the whole blob: who knows the older
    /// keys can make another blob with the same tag.
    pub(crate) fn older_term(&self, physical: &[u8], blob: &[u8]) -> [u8; 32] {
        self.older.of(&[physical, blob])
    }

    /// The code at the end of the header.
    pub(crate) fn header_mac(&self, header: &[u8]) -> [u8; 32] {
        self.header.of(&[header])
    }
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EpochKeys")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The epoch whose keys open `blob`.
pub(crate) fn blob_epoch(blob: &[u8]) -> Result<u32, StoreError> {
    let Some((prefix, rest)) = blob.split_first_chunk::<PREFIX>() else {
        return Err(tampered());
    };
    let [version, suite, epoch @ ..] = *prefix;
    if version != FORMAT || suite != SUITE {
        return Err(too_new());
    }
    if rest.len() < NONCE + TAG {
        return Err(tampered());
    }
    Ok(u32::from_le_bytes(epoch))
}

/// The tag of a blob; `None` if it is too short to be one.
pub(crate) fn blob_tag(blob: &[u8]) -> Option<&[u8]> {
    let (_, rest) = blob.split_at_checked(PREFIX + NONCE)?;
    rest.last_chunk::<TAG>().map(<[u8; TAG]>::as_slice)
}

pub(crate) fn tampered() -> StoreError {
    let message = "the store was changed by someone without its key, or is damaged; restore a copy";
    StoreError::new(StoreErrorKind::Tampered, message)
}

pub(crate) fn too_new() -> StoreError {
    let message = "a newer release sealed this; update the program";
    StoreError::new(StoreErrorKind::FormatTooNew, message)
}
