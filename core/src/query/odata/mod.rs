//! OData text in and out.
//!
//! Table servers speak two spellings of the same language: an older one ([`Spelling::V2`]) and a newer
//! one ([`Spelling::V4`]). Text is read in either, mixed as it comes; it is written in the one asked for.
//!
//! ```
//! use synctable_core::query::odata::{Spelling, parse_filter};
//! let filter = parse_filter("substringof('milk', title) and done eq false").unwrap();
//! assert_eq!(filter.to_odata(Spelling::V4).unwrap(), "(contains(title,'milk') and (done eq false))");
//! let error = parse_filter("(done eq )").unwrap_err();
//! assert_eq!(error.to_string(), "$filter, position 9: expected a value, found ')'");
//! ```

mod error;
mod lexer;
mod literal;
mod options;
mod parser;
mod percent;
mod writer;

pub use error::{Limits, ODataError, WriteError};
pub use options::parse_select;
pub use parser::{parse_filter, parse_filter_with, parse_order_by};
pub use percent::{percent_decode, percent_encode};
pub use writer::Spelling;
