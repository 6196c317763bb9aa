//! Parameters of a page's query.

/// Which records.
pub const FILTER: &str = "$filter";

/// In which order.
pub const ORDER_BY: &str = "$orderby";

/// Which members.
pub const SELECT: &str = "$select";

/// How many records to leave out first.
pub const SKIP: &str = "$skip";

/// How many records at most.
pub const TOP: &str = "$top";

/// Where a page starts, in the server's own words.
pub const SKIP_TOKEN: &str = "$skiptoken";

/// Asks for the count in version 2, with the value `allpages`.
pub const INLINE_COUNT: &str = "$inlinecount";

/// Asks for tombstones, too, with the value `true`.
pub const INCLUDE_DELETED: &str = "__includedeleted";
