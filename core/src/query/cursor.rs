//! Positions between records in an ordered result.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A position behind one record of an ordered result; the next page starts there.
///
/// It holds the record's place in the order by value, so it stays good when records come and go.
/// Its text is opaque and can be kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Arc<str>);

/// Text that is not a cursor, or a cursor of a query with another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the page cursor does not belong to this query; start again from the first page")]
pub struct CursorError;

impl Cursor {
    /// Wraps text that [`as_str`](Self::as_str) gave. Whether it fits a query shows when it is used.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(..)")
    }
}
