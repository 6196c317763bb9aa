//! Members of a page.

/// The records, in the newer form.
pub const ITEMS: &str = "items";

/// The records, in the older form with a count.
pub const RESULTS: &str = "results";

/// How many records there are, whatever the window.
pub const COUNT: &str = "count";

/// Where the next page is.
pub const NEXT_LINK: &str = "nextLink";
