//! The header of a sealed store: pure bytes in and out.
//!
//! A secret opens a slot; the slot holds the data keys; a code made with the current data key covers the
//! whole header, so that whoever opens one slot knows that no other part was changed.

use std::fmt;

use subtle::ConstantTimeEq;
use synctable_core::store::{StoreError, StoreErrorKind};

use crate::cipher::{EpochKeys, SUITE, tampered, too_new};
use crate::derive::StoreId;
use crate::kdf::Argon2Params;
use crate::key::{RawKey, Secret};
use crate::older::Older;
use crate::slot::{DataKeys, SLOTS, Slot, SlotInfo, SlotKind, take};

/// What every header begins with.
pub(crate) const MAGIC: &[u8; 17] = b"synctable sealed ";
/// What the same place of a store that is not sealed begins with.
const PLAIN: &[u8] = b"synctable kv ";

/// The format of headers that this release writes.
pub(crate) const FORMAT: u8 = 2;
/// That of release 0.1, whose headers have no generation. Slots are bound to this number in both formats: a store is brought
/// forward without the secrets of all its slots.
pub(crate) const FIRST: u8 = 1;

/// The one known flag: the entries of indexes with equal values are neighbours.
const EQUALITY: u8 = 1;

/// The header of a sealed store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    equality: bool,
    store_id: StoreId,
    /// How many headers the store has had; `None` in the first format.
    generation: Option<u64>,
    slots: Vec<Slot>,
    mac: [u8; 32],
}

/// The keys of the current epoch and, while a rotation runs, of the one before.
pub(crate) struct KeyRing {
    current: EpochKeys,
    older: Option<EpochKeys>,
    /// The entries of the older epoch that were verified; no others are accepted.
    verified: Older,
}

impl KeyRing {
    fn derive(keys: &DataKeys, store_id: &StoreId) -> Result<Self, StoreError> {
        let derive = |(epoch, key): &(u32, RawKey)| EpochKeys::derive(*epoch, key, store_id);
        Ok(Self {
            current: derive(&keys.current)?,
            older: keys.older.as_ref().map(derive).transpose()?,
            verified: Older::default(),
        })
    }

    /// Accepts these entries of the older epoch from now on.
    pub(crate) fn accept(&mut self, verified: Older) {
        self.verified = verified;
    }

    pub(crate) fn current(&self) -> &EpochKeys {
        &self.current
    }

    /// The keys that a running rotation replaces.
    pub(crate) fn older(&self) -> Option<&EpochKeys> {
        self.older.as_ref()
    }

    /// The current keys, then the older ones.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = &EpochKeys> {
        std::iter::once(&self.current).chain(&self.older)
    }

    pub(crate) fn of(&self, epoch: u32) -> Option<&EpochKeys> {
        self.epochs().find(|keys| keys.epoch() == epoch)
    }

    /// The keys of an entry. One of the older epoch has to be a verified one: who knows the older keys can seal others.
    pub(crate) fn of_entry(
        &self,
        epoch: u32,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<&EpochKeys, StoreError> {
        let keys = self.of(epoch).ok_or_else(tampered)?;
        if epoch != self.current.epoch()
            && !self
                .verified
                .holds(physical, &self.current.older_term(physical, blob))
        {
            return Err(tampered());
        }
        Ok(keys)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("current", &self.current)
            .field("older", &self.older)
            .field("verified", &self.verified)
            .finish()
    }
}

impl Header {
    /// The header of a new store, with one slot.
    pub(crate) fn create(
        secret: &Secret,
        kdf: &Argon2Params,
        equality: bool,
    ) -> Result<(Self, KeyRing), StoreError> {
        let empty = Self {
            equality,
            store_id: StoreId::random()?,
            generation: None,
            slots: Vec::new(),
            mac: [0; 32],
        };
        let keys = DataKeys {
            current: (1, RawKey::random()?),
            older: None,
        };
        let slot = Slot::seal(0, secret, kdf, &empty.bound(), &keys)?;
        empty.with_only(slot, &keys)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| not_sealed(bytes))?;
        let [format, suite, flags] = take(&mut rest)?;
        if !(FIRST..=FORMAT).contains(&format) || suite != SUITE || flags & !EQUALITY != 0 {
            return Err(too_new());
        }
        let store_id = StoreId(take(&mut rest)?);
        let generation = match format {
            FIRST => None,
            _ => Some(u64::from_be_bytes(take(&mut rest)?)),
        };
        let [count] = take(&mut rest)?;
        let count = usize::from(count);
        if count == 0 || count > SLOTS {
            return Err(tampered());
        }
        let slots = (0..count)
            .map(|_| Slot::decode(&mut rest))
            .collect::<Result<Vec<_>, _>>()?;
        let mac = take(&mut rest)?;
        let ascending = slots.is_sorted_by(|a, b| a.info().number() < b.info().number());
        let numbered = slots.iter().all(|slot| slot.info().number() < SLOTS);
        if !ascending || !numbered || !rest.is_empty() {
            return Err(tampered());
        }
        Ok(Self {
            equality: flags & EQUALITY != 0,
            store_id,
            generation,
            slots,
            mac,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.without_mac();
        bytes.extend_from_slice(&self.mac);
        bytes
    }

    /// The slot that `secret` opens, and the keys.
    pub(crate) fn unlock(&self, secret: &Secret) -> Result<(usize, KeyRing), StoreError> {
        let (slot, _, ring) = self.data_keys(secret)?;
        Ok((slot.number(), ring))
    }

    pub(crate) fn store_id(&self) -> &StoreId {
        &self.store_id
    }

    /// True for a header of release 0.1.
    pub(crate) fn is_first(&self) -> bool {
        self.generation.is_none()
    }

    /// The code by which the manifest names this header.
    pub(crate) fn code(&self) -> &[u8; 32] {
        &self.mac
    }

    pub(crate) fn equality(&self) -> bool {
        self.equality
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotInfo> {
        self.slots.iter().map(Slot::info)
    }

    /// This header in the format of today, over the same keys.
    pub(crate) fn forward(&self, ring: &KeyRing) -> Self {
        self.with_slots(self.slots.clone(), &ring.current)
    }

    /// This header with a slot for `new`, in the first free place.
    pub(crate) fn with_key(
        &self,
        known: &Secret,
        new: &Secret,
        kdf: &Argon2Params,
    ) -> Result<Self, StoreError> {
        let (_, keys, ring) = self.data_keys(known)?;
        if ring.older.is_some() {
            return Err(rotating());
        }
        let free = (0..SLOTS).find(|number| self.slots().all(|slot| slot.number() != *number));
        let free = free.ok_or_else(|| {
            let message = format!("all {SLOTS} key slots are taken; remove one first");
            StoreError::new(StoreErrorKind::Unsupported, message)
        })?;
        let mut slots = self.slots.clone();
        slots.push(Slot::seal(free, new, kdf, &self.bound(), &keys)?);
        Ok(self.with_slots(slots, &ring.current))
    }

    /// This header with `new` in the slot of `old`.
    pub(crate) fn rekeyed(
        &self,
        old: &Secret,
        new: &Secret,
        kdf: &Argon2Params,
    ) -> Result<Self, StoreError> {
        let (slot, keys, ring) = self.data_keys(old)?;
        let mut slots = self.slots.clone();
        slots.retain(|other| other.info().number() != slot.number());
        slots.push(Slot::seal(slot.number(), new, kdf, &self.bound(), &keys)?);
        Ok(self.with_slots(slots, &ring.current))
    }

    /// This header without a slot; the last one stays.
    pub(crate) fn without_slot(&self, ring: &KeyRing, number: usize) -> Result<Self, StoreError> {
        let unsupported = |message| Err(StoreError::new(StoreErrorKind::Unsupported, message));
        if self.slots().all(|slot| slot.number() != number) {
            return unsupported("there is no key slot of this number; see the list of slots");
        }
        if self.slots.len() == 1 {
            return unsupported(
                "the last key slot cannot be removed; nothing would open the store",
            );
        }
        let mut slots = self.slots.clone();
        slots.retain(|slot| slot.info().number() != number);
        Ok(self.with_slots(slots, &ring.current))
    }

    /// The header with which a rotation begins: a new data key beside the old one, for `secret` alone.
    pub(crate) fn rotation_started(&self, secret: &Secret) -> Result<(Self, KeyRing), StoreError> {
        let (slot, keys, _) = self.data_keys(secret)?;
        if keys.older.is_some() {
            return Err(rotating());
        }
        let epoch = keys.current.0.checked_add(1).ok_or_else(|| {
            let message = "the store was rotated too often; copy it into a new one";
            StoreError::new(StoreErrorKind::Unsupported, message)
        })?;
        let keys = DataKeys {
            current: (epoch, RawKey::random()?),
            older: Some(keys.current),
        };
        self.rewrapped(slot, secret, &keys)
    }

    /// The header with which a rotation ends: the new data key alone, for `secret` alone.
    pub(crate) fn rotation_ended(&self, secret: &Secret) -> Result<(Self, KeyRing), StoreError> {
        let (slot, mut keys, _) = self.data_keys(secret)?;
        keys.older = None;
        self.rewrapped(slot, secret, &keys)
    }

    /// The same store with `keys` in the slot of `secret`, and no other slot.
    fn rewrapped(
        &self,
        slot: SlotInfo,
        secret: &Secret,
        keys: &DataKeys,
    ) -> Result<(Self, KeyRing), StoreError> {
        let kdf = match slot.kind() {
            SlotKind::Passphrase(kdf) => kdf,
            SlotKind::RawKey => Argon2Params::default(),
        };
        let slot = Slot::seal(slot.number(), secret, &kdf, &self.bound(), keys)?;
        self.with_only(slot, keys)
    }

    fn with_only(&self, slot: Slot, keys: &DataKeys) -> Result<(Self, KeyRing), StoreError> {
        let ring = KeyRing::derive(keys, &self.store_id)?;
        Ok((self.with_slots(vec![slot], &ring.current), ring))
    }

    fn with_slots(&self, mut slots: Vec<Slot>, keys: &EpochKeys) -> Self {
        slots.sort_by_key(|slot| slot.info().number());
        let mut header = Self {
            equality: self.equality,
            store_id: self.store_id,
            generation: Some(self.generation.unwrap_or(0).saturating_add(1)),
            slots,
            mac: [0; 32],
        };
        header.mac = keys.header_mac(&header.without_mac());
        header
    }

    pub(crate) fn data_keys(
        &self,
        secret: &Secret,
    ) -> Result<(SlotInfo, DataKeys, KeyRing), StoreError> {
        // A provider is asked once, not at each slot.
        let provided = match secret {
            Secret::Provider(provider) => Some(Secret::Raw(provider.key()?)),
            Secret::Raw(_) | Secret::Passphrase(_) => None,
        };
        let offered = provided.as_ref().unwrap_or(secret);
        let bound = self.bound();
        for slot in &self.slots {
            if let Some(keys) = slot.unlock(offered, &bound)? {
                let ring = KeyRing::derive(&keys, &self.store_id)?;
                let mac = ring.current.header_mac(&self.without_mac());
                if !bool::from(mac.ct_eq(&self.mac)) {
                    return Err(tampered());
                }
                return Ok((slot.info(), keys, ring));
            }
        }
        Err(self.wrong_key(secret))
    }

    fn wrong_key(&self, secret: &Secret) -> StoreError {
        let passphrase = matches!(secret, Secret::Passphrase(_));
        let of_kind = |slot: SlotInfo| matches!(slot.kind(), SlotKind::Passphrase(_)) == passphrase;
        let message = match (self.slots().any(of_kind), passphrase) {
            (true, true) => "the passphrase does not open this store",
            (true, false) => "the key does not open this store",
            (false, true) => "this store opens with a key, not with a passphrase",
            (false, false) => "this store opens with a passphrase, not with a key",
        };
        StoreError::new(StoreErrorKind::WrongKey, message)
    }

    /// What slots are bound to; it never changes.
    fn bound(&self) -> Vec<u8> {
        self.start(FIRST)
    }

    fn start(&self, format: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[format, SUITE, u8::from(self.equality)]);
        bytes.extend_from_slice(&self.store_id.0);
        bytes
    }

    fn without_mac(&self) -> Vec<u8> {
        let mut bytes = match self.generation {
            None => self.start(FIRST),
            Some(generation) => {
                let mut bytes = self.start(FORMAT);
                bytes.extend_from_slice(&generation.to_be_bytes());
                bytes
            }
        };
        bytes.push(u8::try_from(self.slots.len()).unwrap_or(u8::MAX));
        for slot in &self.slots {
            slot.encode(&mut bytes);
        }
        bytes
    }
}

fn rotating() -> StoreError {
    let message = "a rotation is under way; finish it first";
    StoreError::new(StoreErrorKind::Unsupported, message)
}

fn not_sealed(bytes: &[u8]) -> StoreError {
    if bytes.starts_with(PLAIN) {
        let message = "the store is not encrypted; open it without a key";
        return StoreError::new(StoreErrorKind::NotEncrypted, message);
    }
    StoreError::new(StoreErrorKind::NotAStore, "this is not a sealed store")
}

#[cfg(test)]
mod tests;
