//! How a store answers a query, for people who tune one.

use std::fmt;

/// What a store does to answer a query, as [`LocalStore::explain`](super::LocalStore::explain) says.
///
/// It is a description, not a promise: a store may choose another way when its contents change.
///
/// ```
/// use synctable_core::store::{Access, Plan};
/// let plan = Plan::new(Access::Index { fields: vec!["year".into(), "title".into()], equal: 1, range: false }, true);
/// assert_eq!(plan.to_string(), "index (year, title), 1 field by equality, in order");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// How records are found.
    pub access: Access,
    /// They are found in the order of the query, so that a page ends the work; otherwise all that are found
    /// are sorted first.
    pub in_order: bool,
}

/// How records are found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The store does not say.
    Unknown,
    /// By their ids.
    Ids,
    /// Along a declared index.
    Index {
        /// The fields of the index.
        fields: Vec<String>,
        /// How many of them, from the first on, are fixed by equality.
        equal: usize,
        /// The next field is bounded on at least one side.
        range: bool,
    },
    /// Every record of the table is looked at.
    Scan,
}

impl Plan {
    /// A plan.
    pub fn new(access: Access, in_order: bool) -> Self {
        Self { access, in_order }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.access {
            Access::Unknown => return f.write_str("the store does not say"),
            Access::Ids => f.write_str("ids")?,
            Access::Scan => f.write_str("whole table")?,
            Access::Index {
                fields,
                equal,
                range,
            } => {
                write!(f, "index ({})", fields.join(", "))?;
                match equal {
                    0 => {}
                    1 => f.write_str(", 1 field by equality")?,
                    more => write!(f, ", {more} fields by equality")?,
                }
                if *range {
                    f.write_str(", a range")?;
                }
            }
        }
        f.write_str(if self.in_order {
            ", in order"
        } else {
            ", sorted"
        })
    }
}
