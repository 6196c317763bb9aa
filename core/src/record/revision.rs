//! What a store calls one state of a record.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::sync::Arc;

use super::Record;
use crate::timestamp::Timestamp;

/// One state of a stored record, as its store names it: opaque bytes that mean something to that store alone.
///
/// A store gives each record that it writes a revision which it never gives to that record again, whatever happens to the file or
/// the server meanwhile: [`Expect::At`](crate::store::Expect::At) holds for what was read, and for nothing else. It says nothing about order.
/// It lives as long as the open store; nobody keeps it for later.
///
/// ```
/// use synctable_core::store::Revision;
/// let seen = Revision::from_bytes(b"3-9f86d0");
/// assert_eq!(seen.as_bytes(), b"3-9f86d0");
/// assert_ne!(seen, Revision::from_number(3));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revision(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// As eight bytes, the last one first.
    Number([u8; 8]),
    Bytes(Arc<[u8]>),
}

impl Revision {
    /// A revision that is a number.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(Repr::Number(number.to_le_bytes()))
    }

    /// A revision of any bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.try_into() {
            Ok(number) => Self(Repr::Number(number)),
            Err(_) => Self(Repr::Bytes(bytes.into())),
        }
    }

    /// A revision that is drawn from what the record holds: for rows that were stored without one. Content that comes back has the
    /// revision it had.
    #[must_use]
    pub fn of_content(record: &Record) -> Self {
        let mut hasher = DefaultHasher::new();
        let system = &record.system;
        (record.id.as_str(), system.version.as_ref()).hash(&mut hasher);
        let ticks = |time: Option<Timestamp>| time.map(Timestamp::ticks);
        (ticks(system.created_at), ticks(system.updated_at)).hash(&mut hasher);
        (system.deleted, &*record.body).hash(&mut hasher);
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&hasher.finish().to_le_bytes());
        Self(Repr::Bytes(Arc::new(bytes)))
    }

    /// Its bytes, for the store that gave it.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Number(bytes) => bytes,
            Repr::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revision(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_numbers_come_back_and_are_told_apart() {
        for bytes in [&b""[..], b"7", b"12345678", &[0; 9], &[255; 40]] {
            assert_eq!(Revision::from_bytes(bytes).as_bytes(), bytes);
        }
        let number = Revision::from_number(7);
        assert_eq!(Revision::from_bytes(number.as_bytes()), number);
        assert_ne!(Revision::from_bytes(&[7]), number);
    }

    #[test]
    fn the_revision_of_a_content_tells_contents_apart() {
        let of = |json: &str| Revision::of_content(&Record::from_json(json).unwrap());
        let all = [
            r#"{"id":"a"}"#,
            r#"{"id":"a","n":1}"#,
            r#"{"id":"a","n":1.0}"#,
            r#"{"id":"a","version":"1"}"#,
            r#"{"id":"a","deleted":true}"#,
            r#"{"id":"a","updatedAt":"2026-01-01T00:00:00Z"}"#,
            r#"{"id":"a","createdAt":"2026-01-01T00:00:00Z"}"#,
        ];
        for (at, json) in all.iter().enumerate() {
            assert_eq!(of(json), of(json));
            for other in &all[at + 1..] {
                assert_ne!(of(json), of(other));
            }
        }
    }
}
