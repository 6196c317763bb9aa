//! A key slot of the header: what one secret opens.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
use subtle::ConstantTimeEq;
use synctable_core::store::{StoreError, StoreErrorKind};
use zeroize::Zeroizing;

use crate::cipher::{push_field, tampered, too_new};
use crate::derive::Root;
use crate::kdf::Argon2Params;
use crate::key::{KEY_LEN, RawKey, Secret, random};

/// The most slots of a store.
pub(crate) const SLOTS: usize = 8;

const SALT: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
const RAW: u8 = 1;
const ARGON2ID: u8 = 2;
/// Epoch and data key.
const RING_ENTRY: usize = 4 + KEY_LEN;

/// A key slot of a sealed store, as anyone can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotInfo {
    pub(crate) number: usize,
    pub(crate) kind: SlotKind,
}

impl SlotInfo {
    /// The number of the slot, from 0; it stays while other slots come and go.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What opens it.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }
}

/// What opens a key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotKind {
    /// A raw key, or a provider of one.
    RawKey,
    /// A passphrase, at this cost.
    Passphrase(Argon2Params),
}

/// The data keys with their epochs, the current one first.
#[derive(Debug)]
pub(crate) struct DataKeys {
    pub(crate) current: (u32, RawKey),
    pub(crate) older: Option<(u32, RawKey)>,
}

impl DataKeys {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(2 * RING_ENTRY));
        for (epoch, key) in std::iter::once(&self.current).chain(&self.older) {
            text.extend_from_slice(&epoch.to_be_bytes());
            text.extend_from_slice(key.as_bytes());
        }
        text
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let (entries, []) = text.as_chunks::<RING_ENTRY>() else {
            return None;
        };
        let mut keys = entries.iter().filter_map(|entry| {
            let (epoch, key) = entry.split_first_chunk()?;
            let key = RawKey::of(key.first_chunk()?);
            Some((u32::from_be_bytes(*epoch), key))
        });
        let (current, older) = (keys.next()?, keys.next());
        keys.next().is_none().then_some(Self { current, older })
    }
}

/// A slot: public parts, and the data keys wrapped for one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    number: u8,
    kind: SlotKind,
    salt: [u8; SALT],
    commit: [u8; KEY_LEN],
    nonce: [u8; NONCE],
    /// Data keys and tag.
    wrapped: Vec<u8>,
}

/// What a secret gives at a slot.
struct Unlocked {
    wrap: RawKey,
    commit: RawKey,
}

impl Slot {
    /// Wraps `keys` for `secret`. `bound` is the part of the header that never changes.
    pub(crate) fn seal(
        number: usize,
        secret: &Secret,
        kdf: &Argon2Params,
        bound: &[u8],
        keys: &DataKeys,
    ) -> Result<Self, StoreError> {
        let kind = match secret {
            Secret::Raw(_) | Secret::Provider(_) => SlotKind::RawKey,
            Secret::Passphrase(_) => SlotKind::Passphrase(*kdf),
        };
        let number = u8::try_from(number)
            .map_err(|_| StoreError::new(StoreErrorKind::Unsupported, "there is no such slot"))?;
        let mut slot = Self {
            number,
            kind,
            salt: random()?,
            commit: [0; KEY_LEN],
            nonce: random()?,
            wrapped: Vec::new(),
        };
        let key = slot.stretch(secret)?.ok_or_else(tampered)?;
        let unlocked = slot.derive(&key, bound)?;
        slot.commit = *unlocked.commit.as_bytes();
        // In one piece: the plain keys are overwritten by the wrapped ones.
        let mut text = keys.encode();
        let tag = Aes256Gcm::new(unlocked.wrap.as_bytes().into())
            .encrypt_inout_detached(
                (&slot.nonce).into(),
                &slot.aad(bound),
                InOutBuf::from(text.as_mut_slice()),
            )
            .map_err(|_| StoreError::new(StoreErrorKind::Other, "the keys cannot be wrapped"))?;
        slot.wrapped = [text.as_slice(), &tag].concat();
        Ok(slot)
    }

    /// The data keys; `None` if `secret` is not that of this slot.
    pub(crate) fn unlock(
        &self,
        secret: &Secret,
        bound: &[u8],
    ) -> Result<Option<DataKeys>, StoreError> {
        let Some(key) = self.stretch(secret)? else {
            return Ok(None);
        };
        let unlocked = self.derive(&key, bound)?;
        if !bool::from(unlocked.commit.as_bytes().ct_eq(&self.commit)) {
            return Ok(None);
        }
        let (text, tag) = self
            .wrapped
            .split_last_chunk::<TAG>()
            .ok_or_else(tampered)?;
        let mut keys = Zeroizing::new(text.to_vec());
        Aes256Gcm::new(unlocked.wrap.as_bytes().into())
            .decrypt_inout_detached(
                (&self.nonce).into(),
                &self.aad(bound),
                InOutBuf::from(keys.as_mut_slice()),
                tag.into(),
            )
            .map_err(|_| tampered())?;
        DataKeys::decode(&keys).map(Some).ok_or_else(tampered)
    }

    pub(crate) fn info(&self) -> SlotInfo {
        SlotInfo {
            number: usize::from(self.number),
            kind: self.kind,
        }
    }

    /// The key that `secret` is at this slot; `None` if it is of another kind.
    fn stretch(&self, secret: &Secret) -> Result<Option<RawKey>, StoreError> {
        match (secret, self.kind) {
            (Secret::Raw(key), SlotKind::RawKey) => Ok(Some(RawKey::of(key.as_bytes()))),
            (Secret::Provider(provider), SlotKind::RawKey) => provider.key().map(Some),
            (Secret::Passphrase(text), SlotKind::Passphrase(kdf)) => {
                kdf.stretch(text, &self.salt).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn derive(&self, key: &RawKey, bound: &[u8]) -> Result<Unlocked, StoreError> {
        let root = Root::new(&self.salt, key);
        Ok(Unlocked {
            wrap: root.derive("wrap", bound)?,
            commit: root.derive("commit", bound)?,
        })
    }

    /// What the wrapped keys are bound to: the bound part of the header and the public part of this slot.
    fn aad(&self, bound: &[u8]) -> Vec<u8> {
        let mut aad = Vec::new();
        push_field(&mut aad, bound);
        push_field(&mut aad, &self.public());
        aad
    }

    fn public(&self) -> Vec<u8> {
        let (kind, costs) = match self.kind {
            SlotKind::RawKey => (RAW, [0; 3]),
            SlotKind::Passphrase(kdf) => (ARGON2ID, [kdf.memory_kib(), kdf.passes(), kdf.lanes()]),
        };
        let mut bytes = vec![self.number, kind];
        for cost in costs {
            bytes.extend_from_slice(&cost.to_be_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commit);
        bytes
    }

    /// Adds the slot to the bytes of a header.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.public());
        bytes.extend_from_slice(&self.nonce);
        push_field(bytes, &self.wrapped);
    }

    /// Takes a slot from the start of `bytes`.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, StoreError> {
        let [number, kind] = take(bytes)?;
        let costs = [take(bytes)?, take(bytes)?, take(bytes)?].map(u32::from_be_bytes);
        let kind = match (kind, costs) {
            (RAW, [0, 0, 0]) => SlotKind::RawKey,
            (ARGON2ID, [memory, passes, lanes]) => {
                SlotKind::Passphrase(Argon2Params::new(memory, passes, lanes)?)
            }
            (RAW, _) => return Err(tampered()),
            _ => return Err(too_new()),
        };
        let (salt, commit, nonce) = (take(bytes)?, take(bytes)?, take(bytes)?);
        let len = usize::try_from(u32::from_be_bytes(take(bytes)?)).map_err(|_| tampered())?;
        let (wrapped, rest) = bytes.split_at_checked(len).ok_or_else(tampered)?;
        *bytes = rest;
        Ok(Self {
            number,
            kind,
            salt,
            commit,
            nonce,
            wrapped: wrapped.to_vec(),
        })
    }
}

/// Takes `N` bytes from the start of `bytes`.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StoreError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(tampered)?;
    *bytes = rest;
    Ok(*taken)
}
