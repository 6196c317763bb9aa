//! From a passphrase to a key: Argon2id.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use synctable_core::store::{StoreError, StoreErrorKind};
use zeroize::Zeroizing;

use crate::key::{KEY_LEN, Passphrase, RawKey};

const MIB: u32 = 1024;
const MEMORY: std::ops::RangeInclusive<u32> = 19 * MIB..=1024 * MIB;
const PASSES: std::ops::RangeInclusive<u32> = 2..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;

/// The cost of a guess at a passphrase: memory, passes and lanes of Argon2id (RFC 9106).
///
/// The default is the second recommendation of the RFC: 64 MiB, 3 passes, 4 lanes.
///
/// ```
/// use synctable_encrypted::Argon2Params;
/// assert!(Argon2Params::new(256 * 1024, 3, 4).is_ok());
/// assert!(Argon2Params::new(8, 1, 1).is_err(), "too weak");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Params {
    /// The least that is accepted: 19 MiB, 2 passes, 1 lane.
    pub const LEAST: Self = Self {
        memory_kib: 19 * MIB,
        passes: 2,
        lanes: 1,
    };

    /// Parameters from 19 MiB, 2 passes and 1 lane to 1 GiB, 16 passes and 16 lanes.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) outside of these bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, StoreError> {
        if MEMORY.contains(&memory_kib) && PASSES.contains(&passes) && LANES.contains(&lanes) {
            return Ok(Self {
                memory_kib,
                passes,
                lanes,
            });
        }
        let message = format!(
            "argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is refused; \
             it takes 19456 to 1048576 KiB, 2 to 16 passes and 1 to 16 lanes"
        );
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// The key of a passphrase.
    pub(crate) fn stretch(
        &self,
        passphrase: &Passphrase,
        salt: &[u8],
    ) -> Result<RawKey, StoreError> {
        let failed = |message: &str| StoreError::new(StoreErrorKind::Other, message);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_LEN))
            .map_err(|_| failed("argon2id does not take its parameters"))?;
        let mut blocks = Zeroizing::new(Vec::<Block>::new());
        let count = params.block_count();
        blocks.try_reserve_exact(count).map_err(|error| {
            let message = "there is not enough memory to derive the key of the passphrase";
            failed(message).with_source(error)
        })?;
        blocks.resize(count, Block::new());
        let mut key = RawKey::zero();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                passphrase.as_bytes(),
                salt,
                key.bytes_mut(),
                blocks.as_mut_slice(),
            )
            .map_err(|_| failed("argon2id does not take the passphrase; it is too long"))?;
        Ok(key)
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self {
            memory_kib: 64 * MIB,
            passes: 3,
            lanes: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_included_and_what_is_outside_is_refused() {
        for (memory, passes, lanes) in [(19_456, 2, 1), (1_048_576, 16, 16)] {
            let params = Argon2Params::new(memory, passes, lanes).unwrap();
            let read = (params.memory_kib(), params.passes(), params.lanes());
            assert_eq!(read, (memory, passes, lanes));
        }
        let outside = [
            (19_455, 2, 1),
            (1_048_577, 2, 1),
            (19_456, 1, 1),
            (19_456, 17, 1),
            (19_456, 2, 0),
            (19_456, 2, 17),
        ];
        for (memory, passes, lanes) in outside {
            let error = Argon2Params::new(memory, passes, lanes).unwrap_err();
            assert_eq!(
                error.kind(),
                StoreErrorKind::Unsupported,
                "{memory}/{passes}/{lanes}"
            );
        }
        let default = Argon2Params::default();
        let again = Argon2Params::new(default.memory_kib(), default.passes(), default.lanes());
        assert_eq!(again.unwrap(), default);
    }

    #[test]
    fn another_salt_gives_another_key() {
        let passphrase = Passphrase::new("a".to_owned()).unwrap();
        let key = |salt: [u8; 16]| Argon2Params::LEAST.stretch(&passphrase, &salt).unwrap();
        assert_ne!(key([0; 16]).as_bytes(), key([1; 16]).as_bytes());
    }
}
