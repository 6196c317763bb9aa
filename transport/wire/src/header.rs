//! Headers, and what they say.

use core::time::Duration;

/// Request: the key that is the same whenever one change is sent again.
pub const OPERATION_ID: &str = "x-operation-id";

/// Answer: the server answers a repeated [`OPERATION_ID`] with the first outcome.
pub const OPERATION_IDS: &str = "synctable-operation-ids";

/// The value of [`OPERATION_IDS`]. The first releases want it exactly.
pub const OPERATION_IDS_HONOURED: &str = "1";

/// Answer: for how many seconds the server keeps the outcome of an [`OPERATION_ID`].
pub const OPERATION_IDS_KEPT: &str = "synctable-operation-ids-kept";

/// How long a server keeps operation ids that leaves out [`OPERATION_IDS_KEPT`]: the first releases kept them for thirty days.
pub const OPERATION_IDS_KEPT_UNSAID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Answer, on a conflict: the server did nothing under this [`OPERATION_ID`], and has kept all ids of this user since this time.
pub const OPERATION_UNKNOWN_SINCE: &str = "synctable-operation-unknown-since";

/// Answer: the server takes `PATCH` of a record in the dialect of the Toolkit, too: the members that are named get their values, `null`
/// included, the others stay. On the conditions of a `PUT`, and answered like one.
pub const PARTIAL_UPDATES: &str = "synctable-partial-updates";

/// The value of [`PARTIAL_UPDATES`].
pub const PARTIAL_UPDATES_TAKEN: &str = "1";

/// Answer, beside [`OPERATION_IDS`]: the server takes several changes in one request, `CHANGES BYTES`: at most so many of them, in a body
/// of at most so many bytes.
pub const BATCH: &str = "synctable-batch";

/// Answer, beside [`BATCH`]: changes of a batch that stand side by side with one [`GROUP`](crate::GROUP) are done together or not at all, at most so
/// many of them. Where one is not done, the others are answered with 424.
pub const UNITS: &str = "synctable-units";

/// Request: what the server shall do behind a change of a batch that it did not do.
pub const PREFER: &str = "prefer";

/// The value of [`PREFER`] with a batch: go on, and [`PREFER_MINIMAL`].
pub const PREFER_OF_BATCH: &str = "odata.continue-on-error, return=minimal";

/// A value of [`PREFER`] and [`PREFERENCE_APPLIED`] (RFC 7240): what was sent itself need not be told, where the record is the very same.
pub const PREFER_MINIMAL: &str = "return=minimal";

/// Answer, to one change of a batch: what was preferred, and is so.
pub const PREFERENCE_APPLIED: &str = "preference-applied";

/// Answer: the operation was done by an earlier request with this [`OPERATION_ID`].
pub const REPEATED: &str = "synctable-repeated";

/// A value of [`REPEATED`]: what is told is what the server holds now.
pub const REPEATED_CURRENT: &str = "current";

/// A value of [`REPEATED`]: others have changed or removed the record since.
pub const REPEATED_EARLIER: &str = "earlier";

/// A value of [`REPEATED`], for a change of a batch: none, this request did it.
pub const REPEATED_NOW: &str = "now";

/// Answer to a change of a batch, with status 503: the server did not look at it.
pub const NOT_TRIED: &str = "synctable-not-tried";

/// The value of [`NOT_TRIED`].
pub const NOT_TRIED_SO: &str = "1";

/// Answer: an id of the server's own, made once and kept with its data.
pub const SERVER_ID: &str = "synctable-server-id";

/// Answer: what grows in the order of commits within a table.
pub const ORDERED: &str = "synctable-ordered";

/// A value of [`ORDERED`]: times are unique, and grow with each commit.
pub const ORDERED_BY_TIME: &str = "updatedAt";

/// A value of [`ORDERED`]: times grow with each commit, all rows of one commit share one time, ordered by id within it, and a page in the order
/// of times ends within a commit only where all of it is of that commit.
pub const ORDERED_BY_TIME_AND_ID: &str = "updatedAt,id";

/// Answer, on a page with tombstones: the time of the last deletion in the table that the server knows no more. Who knows the table only up to an
/// earlier time reads it from the start.
pub const DELETIONS_FORGOTTEN: &str = "synctable-deletions-forgotten";

/// Request: the protocol version, as a header or a parameter.
pub const API_VERSION: &str = "zumo-api-version";

/// The value of [`API_VERSION`] of Azure Mobile Apps for node and for .NET Framework. Servers take any third number.
pub const API_VERSION_2: &str = "2.0.0";

/// The value of [`API_VERSION`] of Azure Mobile Apps for ASP.NET Core.
pub const API_VERSION_3: &str = "3.0.0";

/// Request: what the client calls itself. It tells clients of version 3 from the Toolkit's own, which send the same
/// [`API_VERSION`].
pub const CLIENT_VERSION: &str = "x-zumo-version";

/// Answer: what a server of version 2 calls itself.
pub const SERVER_VERSION: &str = "x-zumo-server-version";

/// Request: wishes of a client of version 3, separated by commas.
pub const OPTIONS: &str = "x-zumo-options";

/// A value of [`OPTIONS`]: next links without an address.
pub const OPTION_RELATIVE_LINKS: &str = "nextLink=path";

/// A value of [`OPTIONS`]: tombstones, too.
pub const OPTION_INCLUDE_DELETED: &str = "include:deleted";

/// Request: the older header for the token of a signed-in user.
pub const AUTH: &str = "x-zumo-auth";

/// Request: names an installation of an application to older servers.
pub const INSTALLATION_ID: &str = "x-zumo-installation-id";

#[cfg(test)]
mod tests {
    use super::*;

    /// The readers and writers of headers take nothing else.
    #[test]
    fn names_of_headers_are_in_lower_case() {
        for name in [
            OPERATION_ID,
            OPERATION_IDS,
            OPERATION_IDS_KEPT,
            OPERATION_UNKNOWN_SINCE,
            PARTIAL_UPDATES,
            BATCH,
            UNITS,
            PREFER,
            PREFERENCE_APPLIED,
            REPEATED,
            NOT_TRIED,
            SERVER_ID,
            ORDERED,
            DELETIONS_FORGOTTEN,
            API_VERSION,
            CLIENT_VERSION,
            SERVER_VERSION,
            OPTIONS,
            AUTH,
            INSTALLATION_ID,
        ] {
            let fits = |b: u8| b.is_ascii_lowercase() || b == b'-';
            assert!(name.bytes().all(fits), "{name}");
        }
    }
}
