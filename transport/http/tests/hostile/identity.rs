//! Ids and versions: missing, of others, and made to break out of URLs and headers.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{json, rows};
use crate::case::{Case, End, Want};
use crate::run::check;

/// A row with this id (as JSON), whatever was asked for.
fn id(name: &str, id: &str) -> Case {
    let row = format!(r#"{{"id":{id},"version":"v9","updatedAt":"2026-02-01T00:00:00Z"}}"#);
    Case::row(format!("id: {name}"), row).bad()
}

/// A row with the right id and this version (as JSON).
fn version(name: &str, version: &str) -> Case {
    let row =
        format!(r#"{{"id":"{{id}}","version":{version},"updatedAt":"2026-02-01T00:00:00Z"}}"#);
    Case::row(format!("version: {name}"), row)
}

/// A good row under this `ETag`.
fn tag(name: &str, tag: &str) -> Case {
    let row = r#"{"id":"{id}","version":"v9","updatedAt":"2026-02-01T00:00:00Z"}"#;
    Case::row_in(format!("etag: {name}"), json(200, row).with("etag", tag))
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::row("id: missing", r#"{"version":"v9","updatedAt":"2026-02-01T00:00:00Z"}"#).bad(),
        id("null", "null"),
        id("a number", "7"),
        id("a list", r#"["{id}"]"#),
        id("an object", r#"{"id":"{id}"}"#),
        id("empty", r#""""#),
        id("blanks", r#""   ""#),
        id("a dot", r#"".""#),
        id("two dots", r#""..""#),
        id("a path", r#""../../etc/passwd""#),
        id("a slash", r#""{id}/x""#),
        id("a backslash", r#""{id}\\x""#),
        id("a question mark", r#""{id}?$top=1""#),
        id("a line break", r#""{id}\r\nX-Evil: 1""#),
        id("a NUL", r#""{id}\u0000""#),
        id("a quote", r#""{id}\"""#),
        id("half a surrogate", r#""\ud800""#),
        id("too long", &format!(r#""{}""#, "x".repeat(300))),
        id("a megabyte", &format!(r#""{}""#, "x".repeat(200_000)))
            .writes(Want::Fails(Kind::TooLarge))
            .get(Want::Fails(Kind::TooLarge)),
        // Ids that are allowed, and lead nowhere else: no answer to what was asked, but rows like any.
        id("of another record", r#""other""#).other().pulls("other y z", 0, End::Whole),
        id("in upper case", r#""{id}X""#).other().pulls("xX y z", 0, End::Whole),
        id("an escaped slash", r#""{id}%2f..%2fy""#).other().pulls("x%2f..%2fy y z", 0, End::Whole),
        id("an escaped line break", r#""{id}%0d%0aX-Evil:1""#).other().pulls("x%0d%0aX-Evil:1 y z", 0, End::Whole),
        id("a fragment", r#""{id}#x""#).other().pulls("x#x y z", 0, End::Whole),
        id("a parameter", r#""{id}&$top=1;a=b""#).other().pulls("x&$top=1;a=b y z", 0, End::Whole),
        id("a key of OData", r#""{id}')""#).other().pulls("x') y z", 0, End::Whole),
        id("not ASCII", r#""{id}é💀""#).other().pulls("xé💀 y z", 0, End::Whole),
        id("text that runs backwards", r#""{id}\u202e""#).other().pulls("x\u{202e} y z", 0, End::Whole),
        id("a name of the engine", r#""__operations""#).other().pulls("__operations y z", 0, End::Whole),
        Case::row("id: twice", r#"{"id":"other","id":"{id}"}"#),
        Case::row("id: twice, the wrong one last", r#"{"id":"{id}","id":"other"}"#)
            .other()
            .pulls("other y z", 0, End::Whole),
        Case::new(
            "rows of another table",
            rows(r##"{"id":"x","table":"other","@odata.type":"#other","updatedAt":"2026-02-01T00:00:00Z"}"##),
        )
        .pulls("x", 0, End::Whole),
        version("null", "null"),
        version("empty", r#""""#),
        version("a number", "7").bad(),
        version("a list", "[1]").bad(),
        version("an object", "{}").bad(),
        version("quotes", r#""a\"b\"c""#),
        version("quoted", r#""\"v\"""#),
        version("weak", r#""W/\"v\"""#),
        version("a star", r#""*""#),
        version("a list of tags", r#""a\", \"b""#),
        version("a line break", r#""v\r\nX-Evil: 1""#),
        version("a NUL", r#""v\u0000""#),
        version("an escape character", r#""v\u001b[31m""#),
        version("a backslash at its end", r#""v\\""#),
        version("not ASCII", r#""vé💀""#),
        version("long", &format!(r#""{}""#, "v".repeat(30_000))),
        version("half a surrogate", r#""\ud800""#).bad(),
        tag("weak", "W/\"v9\""),
        tag("unquoted", "v9"),
        tag("empty", ""),
        tag("empty quotes", "\"\""),
        tag("one quote", "\""),
        tag("no end", "\"v9"),
        tag("a star", "*"),
        tag("a list", "\"a\", \"b\""),
        tag("of something else", "\"other\""),
        tag("a tab", "\"v\t9\""),
        tag("not ASCII", "\"vé\""),
        tag("long", &format!("\"{}\"", "v".repeat(10_000))),
    ]
}

#[tokio::test]
async fn ids_and_versions() {
    check(cases()).await;
}
