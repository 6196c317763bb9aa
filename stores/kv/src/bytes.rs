//! Bytes that an engine lends or gives away.

use std::fmt;
use std::ops::Deref;

/// A key or a value as an engine hands it out: borrowed, held by something of the engine's own, or a copy.
///
/// ```
/// use std::sync::Arc;
/// use synctable_kv::Bytes;
/// let shared: Arc<[u8]> = Arc::from(&b"abc"[..]);
/// for bytes in [Bytes::from(&b"abc"[..]), Bytes::from(b"abc".to_vec()), Bytes::held(shared)] {
///     assert_eq!(&*bytes, b"abc");
///     assert_eq!(bytes.into_vec(), b"abc");
/// }
/// ```
pub struct Bytes<'a>(Kind<'a>);

enum Kind<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
    Held(Box<dyn AsRef<[u8]> + 'a>),
}

impl<'a> Bytes<'a> {
    /// Bytes in something that keeps them while it lives: a guard, a reference-counted buffer.
    pub fn held(holder: impl AsRef<[u8]> + 'a) -> Self {
        Self(Kind::Held(Box::new(holder)))
    }

    /// The bytes by themselves; copied unless they are a copy already.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Kind::Owned(bytes) => bytes,
            Kind::Borrowed(bytes) => bytes.to_vec(),
            Kind::Held(holder) => (*holder).as_ref().to_vec(),
        }
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Borrowed(bytes) => bytes,
            Kind::Owned(bytes) => bytes,
            Kind::Held(holder) => (**holder).as_ref(),
        }
    }
}

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Kind::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Bytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Owned(bytes))
    }
}

impl PartialEq for Bytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes<'_> {}

impl fmt::Debug for Bytes<'_> {
    /// Shows the size only: contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("length", &self.len())
            .finish_non_exhaustive()
    }
}
