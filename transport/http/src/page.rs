//! Splitting a page into records without building trees of its rows.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use synctable_core::transport::InvalidRow;
use synctable_core::{Record, RecordId};
use synctable_wire::member;

/// A page as the server sent it.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) records: Vec<Record>,
    pub(crate) invalid: Vec<InvalidRow>,
    pub(crate) count: Option<u64>,
    /// The next link, where it is text.
    pub(crate) link: Option<String>,
    /// The server says that there is more, whether or not its link can be used.
    pub(crate) more: bool,
    /// True for the newer form, an object with `items`: the only one that can have a next link.
    pub(crate) linked: bool,
}

impl Listing {
    /// How many rows the server sent, good and bad.
    pub(crate) fn rows(&self) -> usize {
        self.records.len() + self.invalid.len()
    }
}

/// The most rows of a page and the most bytes of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLimits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Why a body is not a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListingError {
    /// More rows than allowed.
    TooManyRows,
    /// Anything else; the text says where, and holds nothing of the body.
    NotAPage(String),
}

/// Reads `{"items":[..],"count":..,"nextLink":..}`, `{"results":[..],"count":..}` or a bare array.
pub(crate) fn listing(body: &[u8], limits: RowLimits) -> Result<Listing, ListingError> {
    let mut reader = Reader {
        limits,
        listing: Listing::default(),
        problem: None,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let result = reader.deserialize(&mut json).and_then(|()| json.end());
    match (result, reader.problem) {
        (Ok(()), _) => Ok(reader.listing),
        (Err(_), Some(problem)) => Err(problem),
        // The error's own text may quote the body.
        (Err(error), None) => Err(ListingError::NotAPage(format!(
            "gave a page that is not well-formed JSON, line {} column {}",
            error.line(),
            error.column()
        ))),
    }
}

struct Reader {
    limits: RowLimits,
    listing: Listing,
    problem: Option<ListingError>,
}

impl Reader {
    /// Stops reading because of `problem`.
    fn stop<E: serde::de::Error>(&mut self, problem: ListingError) -> E {
        self.problem = Some(problem);
        E::custom("stopped")
    }

    fn not_a_page<E: serde::de::Error>(&mut self, what: &str) -> E {
        self.stop(ListingError::NotAPage(what.to_owned()))
    }

    /// Takes a row in. One that is no object is no row of any table: what answers is no table server.
    fn row<E: serde::de::Error>(&mut self, raw: &str) -> Result<(), E> {
        if !raw.starts_with('{') {
            return Err(self.not_a_page("gave a page with items that are no objects"));
        }
        match record(raw, self.limits.bytes) {
            Ok(record) => self.listing.records.push(record),
            Err(reason) => {
                let id = serde_json::from_str(raw).ok().and_then(|row: IdOf| row.id);
                let id = id.map(String::from);
                self.listing.invalid.push(InvalidRow::new(id, reason));
            }
        }
        Ok(())
    }
}

fn record(raw: &str, limit: usize) -> Result<Record, String> {
    if raw.len() > limit {
        return Err(format!("the row is larger than {limit} bytes"));
    }
    Record::from_json(raw).map_err(|error| error.to_string())
}

/// The id of a row that is not a record, where it has one.
#[derive(Deserialize)]
struct IdOf {
    id: Option<RecordId>,
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of rows")
    }

    /// The rows themselves: a bare array.
    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(raw) = rows.next_element::<&RawValue>()? {
            if self.listing.rows() == self.limits.rows {
                return Err(self.stop(ListingError::TooManyRows));
            }
            self.row(raw.get())?;
        }
        Ok(())
    }

    /// The rows in an envelope.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut has_rows = false;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                member::ITEMS | member::RESULTS => {
                    if std::mem::replace(&mut has_rows, true) {
                        return Err(self.not_a_page("gave a page with two lists of rows"));
                    }
                    self.listing.linked = name == member::ITEMS;
                    members.next_value_seed(Rows(self))?;
                }
                // Read as text first: a tree of what may stand here could be large.
                member::COUNT => {
                    let raw: &RawValue = members.next_value()?;
                    self.listing.count = raw.get().parse().ok();
                }
                member::NEXT_LINK => {
                    let raw: &RawValue = members.next_value()?;
                    // What is neither text nor nothing is no link, but says that there is more all the same.
                    let link = serde_json::from_str::<Option<String>>(raw.get());
                    let link = link.map(|link| link.filter(|link| !link.is_empty()));
                    self.listing.more = !matches!(link, Ok(None));
                    self.listing.link = link.ok().flatten();
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_rows {
            Ok(())
        } else {
            Err(self.not_a_page("gave a page without 'items'; check the base URL"))
        }
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.not_a_page("gave text instead of a page"))
    }
}

/// The list of rows in an envelope: an array and nothing else.
struct Rows<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self.0)
    }
}

#[cfg(test)]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RowLimits = RowLimits {
        rows: 3,
        bytes: 100,
    };

    fn read(body: &str) -> Listing {
        listing(body.as_bytes(), LIMITS).unwrap()
    }

    fn ids(listing: &Listing) -> Vec<&str> {
        listing
            .records
            .iter()
            .map(|record| record.id().as_str())
            .collect()
    }

    #[test]
    fn all_three_shapes_are_read() {
        let page =
            read(r#"{"count":7,"x":[{}],"items":[{"id":"a"},{"id":"b"}],"nextLink":"$skip=2"}"#);
        assert_eq!(ids(&page), ["a", "b"]);
        assert_eq!(
            (page.count, page.link.as_deref(), page.linked),
            (Some(7), Some("$skip=2"), true)
        );
        let page = read(r#"{"results":[{"id":"a"}],"count":1}"#);
        assert_eq!(
            (ids(&page), page.count, page.linked),
            (vec!["a"], Some(1), false)
        );
        let page = read(r#"[{"id":"a"}]"#);
        assert_eq!(
            (ids(&page), page.count, page.linked),
            (vec!["a"], None, false)
        );
    }

    #[test]
    fn absent_and_null_members_are_the_same() {
        for body in [
            r#"{"items":[]}"#,
            r#"{"items":[],"count":null,"nextLink":null}"#,
            r#"{"items":[],"count":-1,"nextLink":""}"#,
            r#"{"items":[],"count":"many"}"#,
        ] {
            let page = read(body);
            assert_eq!(
                (page.rows(), page.count, page.link, page.linked),
                (0, None, None, true)
            );
            assert!(!page.more, "{body}");
        }
    }

    #[test]
    fn a_link_that_is_no_text_says_that_there_is_more() {
        for link in ["5", "true", "false", "{}", r#"["$skip=2"]"#, r#""\ud800""#] {
            let page = read(&format!(r#"{{"items":[],"nextLink":{link}}}"#));
            assert_eq!((page.link, page.more), (None, true), "{link}");
        }
        // Of two, the last one counts.
        let page = read(r#"{"items":[],"nextLink":5,"nextLink":"$skip=2"}"#);
        assert_eq!((page.link.as_deref(), page.more), (Some("$skip=2"), true));
        let page = read(r#"{"items":[],"nextLink":5,"nextLink":null}"#);
        assert_eq!((page.link, page.more), (None, false));
    }

    #[test]
    fn rows_that_are_no_records_are_set_aside() {
        let long = format!(r#"{{"id":"long","x":"{}"}}"#, "x".repeat(100));
        for (row, id) in [
            ("{}", None),
            (r#"{"id":5}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":"a/b"}"#, None),
            (r#"{"id":"a\r\nb"}"#, None),
            (r#"{"id":"a","updatedAt":"yesterday"}"#, Some("a")),
            (r#"{"id":"a","version":[1]}"#, Some("a")),
            (r#"{"id":"a","deleted":"no"}"#, Some("a")),
            (r#"{"id":"a","n":1e400}"#, Some("a")),
            (&long, Some("long")),
        ] {
            let page = read(&format!(r#"{{"items":[{{"id":"1"}},{row},{{"id":"2"}}]}}"#));
            assert_eq!(ids(&page), ["1", "2"], "{row}");
            assert_eq!(page.invalid.len(), 1, "{row}");
            assert_eq!(page.invalid[0].id.as_deref(), id, "{row}");
            let reason = &page.invalid[0].reason;
            assert!(
                !reason.contains("secret") && !reason.chars().any(char::is_control),
                "{reason}"
            );
        }
    }

    #[test]
    fn bodies_that_are_no_pages_are_refused_without_quoting_them() {
        for body in [
            "",
            " ",
            "null",
            "17",
            "true",
            "\"secret\"",
            "{}",
            r#"{"id":"secret"}"#,
            r#"{"items":null}"#,
            r#"{"items":{"id":"secret"}}"#,
            r#"{"items":"secret"}"#,
            r#"{"items":[],"items":[]}"#,
            r#"{"items":[],"results":[]}"#,
            r#"{"items":[17]}"#,
            r#"{"items":[null]}"#,
            r#"{"items":["secret"]}"#,
            r#"{"items":[{"id":"a"},[{"id":"secret"}]]}"#,
            r#"[[{"id":"secret"}]]"#,
            r#"{"items":[{"id":"secret"}"#,
            r#"{"items":[{"id":"secret"}]"#,
            r#"{"items":[{"id":"secret"}]}}"#,
            r#"{"items":[{"id":"secret",}]}"#,
            r#"[{"id":"secret"}"#,
            "<html>secret</html>",
        ] {
            let error = listing(body.as_bytes(), LIMITS).unwrap_err();
            let ListingError::NotAPage(what) = error else {
                panic!("{body}: {error:?}");
            };
            assert!(!what.contains("secret"), "{what}");
        }
        assert!(listing(b"[\"\xff\"]", LIMITS).is_err());
    }

    #[test]
    fn pages_have_a_largest_number_of_rows() {
        assert_eq!(read(r#"[{"id":"1"},{},{"id":"3"}]"#).rows(), 3);
        for body in [
            r#"[{"id":"1"},{},{"id":"3"},{}]"#,
            r#"{"items":[{},{},{},{}]}"#,
        ] {
            let error = listing(body.as_bytes(), LIMITS).unwrap_err();
            assert_eq!(error, ListingError::TooManyRows);
        }
    }

    #[test]
    fn deep_rows_are_bad_rows_only() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let limits = RowLimits {
            rows: 3,
            bytes: 1_000_000,
        };
        let body = format!(r#"[{{"id":"a","x":{deep}}},{{"id":"b"}}]"#);
        let page = listing(body.as_bytes(), limits).unwrap();
        assert_eq!((page.invalid.len(), ids(&page)), (1, vec!["b"]));
    }
}
