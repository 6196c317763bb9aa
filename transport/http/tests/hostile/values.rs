//! JSON of the wrong shape, and values that do not fit.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{X, good, json, rows};
use crate::case::{Case, End, Want};
use crate::run::check;

/// The same body for everything: neither a page nor a record.
fn shape(name: &str, body: &str) -> Case {
    Case::new(format!("shape: {name}"), json(200, body))
}

/// A row with one more member of this value.
fn member(name: &str, value: &str) -> Case {
    let row = format!(
        r#"{{"id":"{{id}}","version":"v9","updatedAt":"2026-02-01T00:00:00Z","n":{value}}}"#
    );
    Case::row(format!("value: {name}"), row)
}

#[expect(clippy::too_many_lines, reason = "a table, a case a row")]
pub(crate) fn cases() -> Vec<Case> {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let deep_object = r#"{"n":"#.repeat(10_000) + "1" + &"}".repeat(10_000);
    vec![
        shape("null", "null"),
        shape("a number", "17"),
        shape("true", "true"),
        shape("text", "\"secret\""),
        shape("blanks", "   \n"),
        shape("half of a page", r#"{"items":[{"id":"x"}"#),
        shape("no end", r#"{"items":[{"id":"x"}]"#),
        shape("too many ends", r#"{"items":[{"id":"x"}]}}"#),
        shape("a comma too many", r#"{"items":[{"id":"x"},]}"#),
        shape("names without quotes", "{items:[]}"),
        shape("single quotes", "{'items':[]}"),
        shape("a comment", r#"{"items":[/* none */]}"#),
        shape("no list of rows", r#"{"count":3}"#),
        // To an insert it says that the record is kept under that id.
        shape("a record where a page should be", r#"{"id":"x"}"#).insert(Want::Rejected),
        shape("rows of null", r#"{"items":null}"#),
        shape("rows in an object", r#"{"items":{"0":{"id":"x"}}}"#),
        shape("rows as text", r#"{"items":"[]"}"#),
        shape("rows twice", &format!(r#"{{"items":[{X}],"items":[]}}"#)),
        shape(
            "rows in two forms",
            &format!(r#"{{"items":[{X}],"results":[]}}"#),
        ),
        shape(
            "an error with the status of a success",
            r#"{"error":"out of order"}"#,
        ),
        shape("rows in another envelope", &format!(r#"{{"value":[{X}]}}"#)),
        shape(
            "rows behind depths",
            &format!(r#"{{"junk":{},"items":[{X}]}}"#, deep(10_000)),
        )
        .pulls("x", 0, End::Whole),
        shape("depths", &deep(10_000)),
        shape("depths of objects", &deep_object)
            .writes(Want::Fails(Kind::TooLarge))
            .get(Want::Fails(Kind::TooLarge)),
        // The older form, which has no next links: the next page is asked for, and is the same.
        shape("a bare list", &format!("[{X}]"))
            .pulls("x", 0, End::Stuck)
            .requests(20),
        shape("a bare list of nothing", "[]").pulls("", 0, End::Whole),
        shape(
            "a count of text",
            &format!(r#"{{"items":[{X}],"count":"many"}}"#),
        )
        .pulls("x", 0, End::Whole),
        shape(
            "a negative count",
            &format!(r#"{{"items":[{X}],"count":-5}}"#),
        )
        .pulls("x", 0, End::Whole),
        shape(
            "a count beyond 64 bits",
            &format!(r#"{{"items":[{X}],"count":1e300}}"#),
        )
        .pulls("x", 0, End::Whole),
        shape(
            "more rows than there are",
            &format!(r#"{{"items":[{X}],"count":18446744073709551615}}"#),
        )
        .pulls("x", 0, End::Whole),
        Case::new("a row that is none", rows(&format!("{{}},{X}"))).pulls("x", 1, End::Whole),
        Case::new("nothing for a row", rows(&format!("{X},null"))),
        Case::new("a number for a row", rows(&format!("{X},1"))),
        Case::new("a word for a row", rows(&format!("true,{X}"))),
        Case::new("text for a row", rows(&format!(r#"{X},"x""#))),
        Case::new("a list for a row", rows(&format!("{X},[]"))),
        Case::new("a row twice", rows(&format!("{X},{X}"))).pulls("x", 0, End::Whole),
        Case::new(
            "one id, two rows",
            rows(&format!("{X},{}", X.replace("x1", "x2"))),
        )
        .pulls("x", 0, End::Whole),
        Case::new("as many rows as may come", rows(&vec![X; 100].join(",")))
            .pulls("x", 0, End::Stuck)
            .requests(20),
        Case::new("a row too many", rows(&vec!["{}"; 101].join(","))).pulls(
            "",
            0,
            End::Fails(Kind::TooLarge),
        ),
        Case::new(
            "nothing but rows that are none",
            rows(&vec!["{}"; 100].join(",")),
        )
        .pulls("", 0, End::Stuck)
        .requests(20),
        Case::row(
            "a row that is too large",
            format!(r#"{{"id":"{{id}}","n":"{}"}}"#, "x".repeat(40_000)),
        )
        .bad()
        .writes(Want::Fails(Kind::TooLarge))
        .get(Want::Fails(Kind::TooLarge)),
        Case::row("a row in a list", r#"[{"id":"{id}"}]"#).fails(Kind::Protocol),
        member("a number beyond doubles", "1e400").bad(),
        member("a negative number beyond doubles", "-1e400").bad(),
        member("a number of a thousand digits", &"9".repeat(1000)).bad(),
        member("a tiny number", "1e-400"),
        member("beyond 2^53", "9007199254740993"),
        member("beyond 64 bits", "18446744073709551617"),
        member("minus nought", "-0.0"),
        member("not a number", "NaN").fails(Kind::Protocol),
        member("a number with a plus", "+1").fails(Kind::Protocol),
        member("a number that starts with nought", "01").fails(Kind::Protocol),
        member("half a surrogate", r#""\ud83d""#).bad(),
        member("surrogates the wrong way round", r#""\ude00\ud83d""#).bad(),
        member("a whole pair of surrogates", r#""\ud83d\ude00""#),
        member("a NUL", r#""\u0000""#),
        member("control characters", r#""\u0001\u001b[31m\u007f""#),
        member("a raw control character", "\"\u{1}\"").fails(Kind::Protocol),
        member("an unknown escape", r#""\x41""#).fails(Kind::Protocol),
        member("200 levels", &deep(200)).bad(),
        member("10,000 levels", &deep(10_000)).bad(),
        member("a hundred levels", &deep(100)),
        Case::row("a member twice", r#"{"id":"{id}","n":1,"n":2}"#),
        Case::row("an empty name", r#"{"id":"{id}","":1}"#),
        Case::row(
            "names of system properties in other cases",
            r#"{"id":"{id}","ID":"y","Version":"1","__proto__":{}}"#,
        ),
        Case::row(
            "a member a thousand times",
            format!(r#"{{"id":"{{id}}"{}}}"#, r#","n":1"#.repeat(1000)),
        ),
        Case::row("deleted as text", r#"{"id":"{id}","deleted":"no"}"#).bad(),
        Case::row("deleted as a number", r#"{"id":"{id}","deleted":1}"#).bad(),
        Case::new("a newer row of a record that is here", rows(&good("a")))
            .pulls("", 0, End::Whole)
            .touches("a"),
        Case::new("a row of a record with a pending change", rows(&good("c"))).pulls(
            "",
            0,
            End::Whole,
        ),
        Case::new(
            "a tombstone of a record with a pending change",
            rows(&good("c").replace('}', r#","deleted":true}"#)),
        )
        .pulls("", 0, End::Whole),
        Case::new(
            "a tombstone of a record that is here",
            rows(&good("a").replace('}', r#","deleted":true}"#)),
        )
        .pulls("", 0, End::Whole)
        .touches("a"),
        Case::row(
            "a tombstone",
            r#"{"id":"{id}","version":"v9","deleted":true,"updatedAt":"2026-02-01T00:00:00Z"}"#,
        )
        .pulls("y z", 0, End::Whole),
    ]
}

#[tokio::test]
async fn json_of_all_shapes() {
    check(cases()).await;
}
