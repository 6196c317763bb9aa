//! Every status, waits of years, and credentials that are never good enough.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{Answer, json, raw};
use crate::case::{Case, End, Want};
use crate::run::check;

/// A status that says "later", with this wait.
fn wait(name: &str, status: u16, wait: &str) -> Case {
    Case::new(
        format!("wait: {name}"),
        json(status, "{}").with("retry-after", wait),
    )
    .fails(failure(status))
}

/// The kind of a status that fails whatever was asked.
fn failure(status: u16) -> Kind {
    match status {
        408 | 429 | 503 => Kind::Busy,
        502 | 504 => Kind::Gateway,
        511 => Kind::Portal,
        _ => Kind::Failed,
    }
}

/// An error in this form; only the words differ.
fn words(name: &str, body: &str) -> Case {
    refused(Case::new(format!("words: {name}"), json(400, body)))
}

/// A request that is refused: a pull fails, a change is parked.
fn refused(case: Case) -> Case {
    case.fails(Kind::BadQuery).writes(Want::Rejected)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        wait("a second", 429, "1"),
        wait("a million years", 503, "31556952000000"),
        wait("the most seconds there are", 503, "18446744073709551615"),
        wait(
            "more seconds than there are",
            503,
            "99999999999999999999999999",
        ),
        wait("until the year 9999", 429, "Fri, 31 Dec 9999 23:59:59 GMT"),
        wait(
            "until before there were computers",
            429,
            "Mon, 01 Jan 1900 00:00:00 GMT",
        ),
        wait("a negative time", 503, "-5"),
        wait("garbage", 408, "soon"),
        wait("for ever, after a fault", 500, "99999999"),
        Case::new(
            "credentials refused for ever",
            json(401, "{}").with("www-authenticate", "Bearer"),
        )
        .fails(Kind::Unauthorized),
        Case::new(
            "credentials wanted by another server",
            json(401, "{}").with("www-authenticate", "Basic realm=\"http://{foreign}/\""),
        )
        .fails(Kind::Unauthorized),
        Case::new("credentials for a proxy", refused_by_proxy())
            .fails(Kind::Unauthorized)
            .writes(Want::Rejected)
            .pulls("", 0, End::Fails(Kind::BadQuery))
            .get(Want::Fails(Kind::BadQuery)),
        Case::new(
            "cookies",
            json(401, "{}").with("set-cookie", "session=evil"),
        )
        .fails(Kind::Unauthorized),
        Case::each(
            "busy, then a page",
            vec![json(503, "{}"), json(200, r#"{"items":[]}"#)],
        )
        .pulls("", 0, End::Whole)
        .get(Want::Fails(Kind::Busy)),
        Case::new(
            "a fault, with a record",
            json(500, r#"{"id":"a","version":"v9"}"#),
        )
        .fails(Kind::Failed),
        Case::row_in(
            "a conflict that shows the base",
            json(
                409,
                r#"{"id":"{id}","version":"v1","updatedAt":"2026-01-01T00:00:00Z","title":"good"}"#,
            ),
        )
        // The row of a 409 is not believed: the record is asked for, and does not come.
        .fails(Kind::BadQuery),
        Case::row_in(
            "a conflict that shows a record of another id",
            json(412, r#"{"id":"other","version":"v9"}"#),
        )
        .pulls("", 0, End::Fails(Kind::BadQuery))
        .writes(Want::Fails(Kind::BadQuery))
        .get(Want::Fails(Kind::BadQuery)),
        Case::new(
            "not found, by a page for people",
            raw("HTTP/1.1 404 X\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
        )
        .fails(Kind::UnknownTable),
        words("nothing", ""),
        words(
            "a page for people",
            "<html><script>alert(1)</script></html>",
        ),
        words(
            "control characters",
            r#"{"error":"\u001b[2J\u0007\r\nX-Evil: 1\u0000"}"#,
        ),
        words(
            "long",
            &format!(r#"{{"error":"{}"}}"#, "sorry ".repeat(10_000)),
        ),
        words("longer than anyone reads", &"x".repeat(200_000)),
        words("deep", &"[".repeat(10_000)),
        words(
            "deep objects",
            &(r#"{"error":"#.repeat(5_000) + "1" + &"}".repeat(5_000)),
        ),
        words("a list", r#"[{"message":"a"},{"message":"b"}]"#),
        words("half a surrogate", r#"{"error":"\ud800"}"#),
        words("numbers", r#"{"error":{"code":400}}"#),
    ]
}

fn refused_by_proxy() -> Answer {
    json(407, "{}").with("proxy-authenticate", "Basic")
}

/// What each call comes to where the answer is a status and nothing else.
fn bare(status: u16) -> Case {
    let name = format!("status {status}");
    let case = Case::new(&name, json(status, "{}"));
    match status {
        101 => Case::new(&name, interim(status)),
        100..=199 => Case::new(&name, interim(status)).fails(Kind::Broken),
        204 => case.delete(Want::Done),
        401 => case.fails(Kind::Unauthorized),
        403 => case.fails(Kind::Forbidden),
        408 | 429 | 500..=599 => case.fails(failure(status)),
        // The table cannot be read, so nobody says that a record is gone.
        404 => case.fails(Kind::UnknownTable).get(Want::Missing),
        410 => case
            .fails(Kind::UnknownTable)
            .insert(Want::Rejected)
            .get(Want::Missing),
        // The record is asked for, and does not come.
        409 | 412 => case.fails(Kind::BadQuery),
        400..=499 => refused(case),
        _ => case,
    }
}

/// A status that announces another answer, which does not come.
fn interim(status: u16) -> Answer {
    raw(format!("HTTP/1.1 {status} X\r\n\r\n"))
}

#[tokio::test]
async fn all_sorts_of_refusals() {
    check(cases()).await;
}

#[tokio::test]
async fn every_status() {
    check((100..600).chain([600, 700, 999]).map(bare).collect()).await;
}
