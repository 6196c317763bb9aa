//! Secrets as the app gives them: held once, wiped when dropped, never shown.

use std::fmt;
use std::sync::Arc;

use crate::strength::check_passphrase;
use synctable_core::store::{StoreError, StoreErrorKind};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a raw key and of every derived one.
pub(crate) const KEY_LEN: usize = 32;

/// A key of 32 bytes. It is wiped from memory when it is dropped and never printed.
///
/// ```
/// use synctable_encrypted::RawKey;
/// let key = RawKey::parse(&[b'0'; 64]).unwrap();
/// assert_eq!(key.as_bytes(), &[0; 32]);
/// assert_eq!(format!("{key:?}"), "RawKey(..)");
/// ```
pub struct RawKey(Box<Zeroizing<[u8; KEY_LEN]>>);

impl RawKey {
    /// A key of these bytes; they must come from a random source or a key store, never from a password.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let key = Self::of(&bytes);
        bytes.zeroize();
        key
    }

    /// A new key from the random source of the operating system.
    pub fn random() -> Result<Self, StoreError> {
        let mut key = Self::zero();
        fill_random(key.bytes_mut())?;
        Ok(key)
    }

    /// The key that a key file holds: 32 bytes, or 64 hex digits that a line break may follow.
    pub fn parse(file: &[u8]) -> Result<Self, StoreError> {
        let refused = || {
            let message = "a key is 32 bytes, or 64 hex digits in a text file; this is neither";
            StoreError::new(StoreErrorKind::WrongKey, message)
        };
        let mut key = Self::zero();
        if file.len() == KEY_LEN {
            key.0.copy_from_slice(file);
            return Ok(key);
        }
        let line = file.strip_suffix(b"\n").unwrap_or(file);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (pairs, rest) = line.as_chunks::<2>();
        if pairs.len() != KEY_LEN || !rest.is_empty() {
            return Err(refused());
        }
        for (byte, [high, low]) in key.0.iter_mut().zip(pairs) {
            let digit = |c: u8| {
                char::from(c)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                return Err(refused());
            };
            *byte = high << 4 | low;
        }
        Ok(key)
    }

    /// The bytes, for the app that keeps them; it has to wipe its copies.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A copy of its own of `bytes`, on the heap, so that moves of the key leave no copies behind.
    pub(crate) fn of(bytes: &[u8; KEY_LEN]) -> Self {
        let mut key = Self::zero();
        key.bytes_mut().copy_from_slice(bytes);
        key
    }

    /// A key to be filled in.
    pub(crate) fn zero() -> Self {
        Self(Box::default())
    }

    /// The bytes, to be filled in.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; KEY_LEN] {
        &mut self.0
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawKey(..)")
    }
}

/// A passphrase, in the form NFKC of Unicode, so that it opens the store from any keyboard.
/// It is wiped from memory when it is dropped and never printed.
///
/// ```
/// use synctable_encrypted::Passphrase;
/// assert!(Passphrase::new("correct horse battery staple".to_owned()).is_ok());
/// assert!(Passphrase::new(String::new()).is_err());
/// ```
pub struct Passphrase {
    text: Zeroizing<String>,
    weak: bool,
}

impl Passphrase {
    /// A passphrase; an empty one is refused.
    pub fn new(text: String) -> Result<Self, StoreError> {
        let text = Zeroizing::new(text);
        // Made in one piece: a string that grows leaves copies behind.
        let len = text.nfkc().map(char::len_utf8).sum();
        let mut normal = Zeroizing::new(String::with_capacity(len));
        normal.extend(text.nfkc());
        if normal.is_empty() {
            let message = "the passphrase is empty; give one";
            return Err(StoreError::new(StoreErrorKind::WrongKey, message));
        }
        Ok(Self {
            text: normal,
            weak: false,
        })
    }

    /// Lets a store be given this passphrase however easy it is to guess: for tests, and for secrets that a machine made, of whose
    /// strength the app knows better.
    #[must_use]
    pub fn accept_weak(mut self) -> Self {
        self.weak = true;
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Where an app keeps the key of a store: the key chain of the operating system, a hardware token, a service.
///
/// ```
/// use synctable_core::store::StoreError;
/// use synctable_encrypted::{KeyProvider, RawKey};
///
/// #[derive(Debug)]
/// struct KeyChain;
///
/// impl KeyProvider for KeyChain {
///     fn key(&self) -> Result<RawKey, StoreError> {
///         RawKey::parse(&[b'7'; 64]) // what the key chain holds
///     }
/// }
/// ```
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// The key of the store: the same at each call, until the app gives the store another one.
    ///
    /// Called whenever the key is needed: at opening, and when keys are added, changed or rotated.
    fn key(&self) -> Result<RawKey, StoreError>;
}

/// What opens a store. A raw key and a provider of the same key are interchangeable.
#[derive(Debug)]
#[non_exhaustive]
pub enum Secret {
    /// A key of 32 bytes.
    Raw(RawKey),
    /// A passphrase; the key is derived from it by Argon2id.
    Passphrase(Passphrase),
    /// A key that is asked for when it is needed.
    Provider(Arc<dyn KeyProvider>),
}

impl Secret {
    /// An error for a passphrase that no store should be given: see [`check_passphrase`]. Keys are taken as they are.
    pub fn check_new(&self) -> Result<(), StoreError> {
        match self {
            Self::Passphrase(passphrase) if !passphrase.weak => check_passphrase(passphrase),
            Self::Passphrase(_) | Self::Raw(_) | Self::Provider(_) => Ok(()),
        }
    }
}

/// Fills `bytes` from the random source of the operating system; nothing stands in for it.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| {
        let message = "the random source of the operating system failed; nothing was written";
        StoreError::new(StoreErrorKind::Other, message).with_source(error)
    })
}

/// Random bytes, as [`fill_random`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_bytes_or_hex_digits() {
        let digits = "00FF".repeat(16);
        let key = RawKey::parse(digits.as_bytes()).unwrap();
        assert_eq!(key.as_bytes()[..4], [0, 255, 0, 255]);
        for file in [
            format!("{digits}\n"),
            format!("{}\r\n", digits.to_lowercase()),
        ] {
            assert_eq!(
                RawKey::parse(file.as_bytes()).unwrap().as_bytes(),
                key.as_bytes()
            );
        }
        assert_eq!(
            RawKey::parse(key.as_bytes()).unwrap().as_bytes(),
            key.as_bytes()
        );
        let long = format!("{digits}\n\n");
        let sign = format!("+{}", &digits[1..]);
        let refused = [
            "",
            "00",
            &digits[..63],
            &long,
            &sign,
            &digits.replace('0', "é"),
        ];
        for file in refused {
            let error = RawKey::parse(file.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::WrongKey, "{file:?}");
        }
        assert!(RawKey::parse(&[7; 33]).is_err());
    }

    #[test]
    fn random_keys_differ() {
        let (one, two) = (RawKey::random().unwrap(), RawKey::random().unwrap());
        assert_ne!(one.as_bytes(), two.as_bytes());
        assert_ne!(one.as_bytes(), &[0; KEY_LEN]);
    }

    #[test]
    fn passphrases_are_normalized_and_not_empty() {
        let passphrase = Passphrase::new("A\u{30a}\u{ff21}".to_owned()).unwrap();
        assert_eq!(passphrase.as_bytes(), "\u{c5}A".as_bytes());
        assert!(Passphrase::new(String::new()).is_err());
    }
}
