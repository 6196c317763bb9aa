//! Sealed records over any key-value engine, for synctable.
//!
//! # Keys
//! A store is opened by a [`Secret`]: a [`RawKey`] of 32 bytes, a [`Passphrase`] (its key is derived by Argon2id,
//! at the cost of [`Argon2Params`]), or a [`KeyProvider`] that fetches the key from where the app keeps it. Up to eight secrets open one store.
//! None of them encrypts records: each unlocks a random data key, so that a secret is changed without writing the records anew.
//!
//! What goes wrong has a kind of its own:
//!
//! | kind of error | means |
//! |---|---|
//! | [`WrongKey`](synctable_core::store::StoreErrorKind::WrongKey) | the secret does not open this store |
//! | [`Tampered`](synctable_core::store::StoreErrorKind::Tampered) | what is stored was changed without the key, or is damaged |
//! | [`WeakPassphrase`](synctable_core::store::StoreErrorKind::WeakPassphrase) | a store was to be given a passphrase that is easy to guess |
//! | [`KeyNeeded`](synctable_core::store::StoreErrorKind::KeyNeeded) | the store is encrypted and was opened without a key |
//! | [`NotEncrypted`](synctable_core::store::StoreErrorKind::NotEncrypted) | a key was given for a store that is not encrypted |
//! | [`FormatTooNew`](synctable_core::store::StoreErrorKind::FormatTooNew) | a newer release wrote the store |
//!
//! # What is protected
//! Records, ids, names of tables and fields, queued operations and all else that a store holds are sealed by XAES-256-GCM, each bound to its store and place. Against
//! whoever reads the files, that hides contents; against whoever writes them, a change is found: when the entry is read, when the store is opened (an older header, or no
//! entries at all), or, if some entries were removed or put back from an older copy, when the whole store is verified. A change of keys verifies it first.
//!
//! # What is not protected
//! - How many records there are, their sizes to an eighth, and which of them changed between two copies of the files.
//! - A whole older copy of the store, unless the app keeps its [`Anchor`] elsewhere; deletion of the store.
//! - An old copy of the store still opens with the old secret after a change of the secret, and who has seen the data key can still use it; a rotation of the data key ends that.
//! - A weak passphrase: Argon2id makes guesses dear, not impossible.
//! - Memory: secrets, keys and opened entries are wiped when they are dropped, as well as a program can. While the store is open its keys are in memory,
//!   which a debugger, a core dump, the swap file or the root user may show; records handed to the app are the app's.
//! - The sync server: it receives plain records. This is encryption at rest, not from end to end.
//! - The implementation has not been audited by anyone independent.
//!
//! The format is written down in `FORMAT.md`, next to a second implementation in Python that the tests run against this one.

mod anchor;
#[cfg(test)]
mod attacks;
mod cache;
mod cipher;
mod derive;
mod directory;
mod forward;
mod header;
mod kdf;
mod key;
mod layout;
mod manifest;
mod older;
mod open;
mod rotate;
mod scan;
mod sealed;
mod slot;
mod strength;
mod transaction;
#[cfg(test)]
mod vectors;
mod verify;
mod view;
mod writer;

pub use anchor::Anchor;
pub use kdf::Argon2Params;
pub use key::{KeyProvider, Passphrase, RawKey, Secret};
pub use open::SealedBuilder;
pub use sealed::Sealed;
pub use slot::{SlotInfo, SlotKind};
pub use strength::check_passphrase;
pub use verify::{SealFinding, VerifyReport};
