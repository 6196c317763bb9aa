//! Sealed records over any key-value engine, for synctable.

mod cipher;
mod derive;
mod header;
mod kdf;
mod key;
mod slot;
#[cfg(test)]
mod vectors;

pub use kdf::Argon2Params;
pub use key::{KeyProvider, Passphrase, RawKey, Secret};
pub use slot::{SlotInfo, SlotKind};
