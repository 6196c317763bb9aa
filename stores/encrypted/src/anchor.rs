//! How far a store is known to have come.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use synctable_core::store::{StoreError, StoreErrorKind};

/// How far a store is known to have come, kept outside of it: how often it was written, and how often its data key was rotated. A
/// store that says less is an older copy. See [`Sealed::anchor`](crate::Sealed::anchor) and
/// [`SealedBuilder::at_least`](crate::SealedBuilder::at_least).
///
/// Its text is `WRITES:EPOCH`; one of writes alone is a bound, too, but a weaker one: who holds an older data key can make a store
/// that says any number of writes, under its old epoch.
///
/// ```
/// use synctable_encrypted::Anchor;
/// let anchor: Anchor = "1200:3".parse().unwrap();
/// assert_eq!((anchor.counter(), anchor.epoch()), (1200, 3));
/// assert_eq!(anchor.to_string(), "1200:3");
/// assert_eq!("1200".parse(), Ok(Anchor::from(1200)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Anchor {
    counter: u64,
    epoch: u32,
}

impl Anchor {
    pub(crate) fn new(counter: u64, epoch: u32) -> Self {
        Self { counter, epoch }
    }

    /// How often the store was written.
    pub fn counter(self) -> u64 {
        self.counter
    }

    /// The number of the data key: a new store has 1, and each rotation adds 1.
    pub fn epoch(self) -> u32 {
        self.epoch
    }

    /// An error for a store that has come less far than this.
    pub(crate) fn check(self, found: Self) -> Result<(), StoreError> {
        if found.counter >= self.counter && found.epoch >= self.epoch {
            return Ok(());
        }
        let message = format!(
            "the store is an older copy, or is not the one: it is at {found}, and was at {self} before; restore the newest copy"
        );
        Err(StoreError::new(StoreErrorKind::Tampered, message))
    }

    /// An error where there is no store at all, if there was one.
    pub(crate) fn check_new(self) -> Result<(), StoreError> {
        if self == Self::default() {
            return Ok(());
        }
        let message =
            format!("there is no store here, but it was at {self} before; restore a copy");
        Err(StoreError::new(StoreErrorKind::Tampered, message))
    }
}

impl From<u64> for Anchor {
    /// A number of writes alone.
    fn from(counter: u64) -> Self {
        Self::new(counter, 0)
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.counter, self.epoch)
    }
}

impl FromStr for Anchor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (counter, epoch) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self::new(counter.parse()?, epoch.parse()?))
    }
}
