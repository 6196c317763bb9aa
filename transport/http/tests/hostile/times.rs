//! Times that are none, or that would hide every later change.

use crate::answer::json;
use crate::case::{Case, End};
use crate::run::check;

/// A row with this `updatedAt` (as JSON).
fn updated(name: &str, time: &str) -> Case {
    Case::row(format!("time: {name}"), row(time))
}

fn row(time: &str) -> String {
    format!(r#"{{"id":"{{id}}","version":"v9","updatedAt":{time}}}"#)
}

/// A row of the far future, from a server that says this about its clock.
fn future(name: &str, date: &str) -> Case {
    let answer = json(200, row(r#""9990-01-01T00:00:00Z""#)).with("date", date);
    Case::row_in(format!("date: {name}"), answer)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        updated("garbage", r#""yesterday""#).bad(),
        updated("empty", r#""""#).bad(),
        updated("a number", "1769860800").bad(),
        updated("a list", "[]").bad(),
        updated("a month 13", r#""2026-13-01T00:00:00Z""#).bad(),
        updated("a day that is not", r#""2026-02-30T00:00:00Z""#).bad(),
        updated("hour 24", r#""2026-02-01T24:00:00Z""#).bad(),
        updated("year 10000", r#""10000-01-01T00:00:00Z""#).bad(),
        updated("year -1", r#""-0001-01-01T00:00:00Z""#).bad(),
        updated("a line break", r#""2026-02-01T00:00:00Z\r\n""#).bad(),
        updated(
            "twenty digits of a second",
            r#""2026-02-01T00:00:00.12345678901234567890Z""#,
        )
        .bad(),
        updated("a wide offset", r#""2026-02-01T00:00:00+99:00""#).bad(),
        updated("a leap second", r#""2026-06-30T23:59:60Z""#).bad(),
        updated("null", "null"),
        updated("year 0", r#""0000-01-01T00:00:00Z""#).bad(),
        updated("year 1", r#""0001-01-01T00:00:00Z""#),
        updated(
            "before the year 1 by its offset",
            r#""0001-01-01T00:00:00+14:00""#,
        )
        .bad(),
        updated("the end of year 9999", r#""9999-12-31T23:59:59.9999999Z""#)
            .position("2026-02-01T00:00:00Z"),
        updated(
            "beyond year 9999 by its offset",
            r#""9999-12-31T23:59:59-14:00""#,
        )
        .bad(),
        updated("the far future", r#""9990-01-01T00:00:00Z""#),
        updated("nine digits", r#""2026-02-01T00:00:00.123456789Z""#),
        Case::row(
            "time: of making is garbage",
            r#"{"id":"{id}","createdAt":"long ago"}"#,
        )
        .bad(),
        Case::row(
            "time: twice",
            r#"{"id":"{id}","updatedAt":"2026-02-01T00:00:00Z","updatedAt":"2026-02-02T00:00:00Z"}"#,
        ),
        Case::new(
            "time: none of all rows",
            json(200, r#"{"items":[{"id":"x"},{"id":"y"}]}"#),
        )
        .pull("", 0, End::Unfit)
        .window("x y", 0, End::Whole),
        Case::new(
            "time: all of the far future",
            json(
                200,
                r#"{"items":[{"id":"x","updatedAt":"9999-12-31T23:59:59.9999999Z"}]}"#,
            ),
        )
        .pulls("x", 0, End::Whole),
        // The good rows beside it move the position, it does not: changes of the next thousands of years are still seen.
        future("as it is", "Sun, 01 Feb 2026 00:00:00 GMT").position("2026-02-01T00:00:00Z"),
        future("garbage", "soon"),
        future("the far future", "Fri, 31 Dec 9999 23:59:59 GMT"),
        future(
            "before there were computers",
            "Mon, 01 Jan 1900 00:00:00 GMT",
        ),
        future("long", &"1".repeat(5000)),
    ]
}

#[tokio::test]
async fn times_of_all_kinds() {
    check(cases()).await;
}
