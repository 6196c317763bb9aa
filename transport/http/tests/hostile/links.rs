//! Next links and redirects: to other places, in circles, and without end.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{Answer, X, good, json, linked};
use crate::case::{Case, End, Want};
use crate::run::check;

/// The same page for ever, with a link that is followed for its position at most: its row is taken, and then no progress is seen.
/// A single record is not read from a page.
fn followed(name: &str, link: &str) -> Case {
    Case::new(format!("next link: {name}"), linked(link))
        .pulls("x", 0, End::Stuck)
        .requests(20)
}

/// A link that is no text: it says that there is more all the same.
fn odd(name: &str, link: &str) -> Case {
    let page = format!(r#"{{"items":[{X}],"nextLink":{link}}}"#);
    Case::new(format!("next link: {name}"), json(200, page))
        .pulls("x", 0, End::Stuck)
        .requests(20)
}

/// A redirect. It is not followed; the words say so.
fn redirect(status: u16, place: &str) -> Case {
    let answer = json(status, "{}").with("location", place);
    Case::new(format!("redirect {status} to {place}"), answer).fails(Kind::Redirected)
}

fn page_of(row: &str, link: &str) -> Answer {
    json(200, format!(r#"{{"items":[{row}],"nextLink":"{link}"}}"#))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        followed("another host", "http://{foreign}/tables/todo?$skip=1"),
        followed(
            "another host, https",
            "https://{foreign}/tables/todo?$skip=1",
        ),
        followed(
            "another host, the same port",
            "http://localhost:{port}/tables/todo?$skip=1",
        ),
        followed("no port", "http://127.0.0.1/tables/todo?$skip=1"),
        followed("another scheme", "https://{own}/tables/todo?$skip=1"),
        followed("a web socket", "ws://{own}/tables/todo?$skip=1"),
        followed(
            "a user before the host",
            "http://{own}@{foreign}/tables/todo?$skip=1",
        ),
        followed(
            "a user at the own host",
            "http://u:p@{own}/tables/todo?$skip=1",
        ),
        followed("no scheme, another host", "//{foreign}/tables/todo?$skip=1"),
        followed("many slashes", "http:////{foreign}/tables/todo?$skip=1"),
        followed("backslashes", "\\\\{foreign}\\tables\\todo?$skip=1"),
        followed("another table", "http://{own}/tables/other?$skip=1"),
        followed("another table, by path", "/tables/other?$skip=1"),
        followed("another table, by dots", "/tables/todo/../other?$skip=1"),
        followed(
            "another table, by escaped dots",
            "/tables/todo/%2e%2e/other?$skip=1",
        ),
        followed("a record", "/tables/todo/a?$skip=1"),
        followed("the root", "/?$skip=1"),
        followed("the table with an escape", "/tables/%74odo?$skip=1"),
        followed("the table in upper case", "/tables/TODO?$skip=1"),
        followed("a file", "file:///etc/passwd"),
        followed("a script", "javascript:alert(1)"),
        followed("no query", "http://{own}/tables/todo"),
        followed("a lone question mark", "?"),
        followed("a line break", "$skip=1\r\nX-Evil: 1"),
        followed("a blank", "$skip=1 HTTP/1.1"),
        followed("a NUL", "$skip=\0"),
        followed("a fragment", "$skip=1#x"),
        followed("100,000 digits", &format!("$skip={}", "1".repeat(100_000)))
            .writes(Want::Fails(Kind::TooLarge))
            .get(Want::Fails(Kind::TooLarge)),
        followed("not ASCII", "$skip=\u{1f480}"),
        followed("a token", "$skiptoken=a b\"\u{1f480}\r\nX-Evil: 1"),
        followed("a filter of its own", "$filter=1 eq 1&$skip=1"),
        odd("a number", "5"),
        odd("an object", "{}"),
        odd("half a character", r#""\ud800""#),
        odd(
            "twice, the second to another host",
            r#""$skip=1","nextLink":"http://{foreign}/tables/todo?$skip=1""#,
        ),
        // The first page is good, the second leads away.
        Case::each(
            "next link: another host, on the second page",
            vec![
                linked("$skip=1"),
                linked("http://{foreign}/tables/todo?$skip=2"),
            ],
        )
        .pulls("x", 0, End::Stuck)
        .requests(20),
        Case::new("next link: the same for ever", linked("$skip=1")).pulls("x", 0, End::Stuck),
        Case::by("next link: two in a circle", |number, _| {
            let (id, link) = [("x", "$skip=1"), ("y", "$skip=2")][number % 2];
            page_of(&good(id), link)
        })
        .pulls("x y", 0, End::Stuck)
        .requests(20),
        Case::by(
            "next link: always another, with the same row",
            |number, _| page_of(X, &format!("$skip={number}")),
        )
        .pulls("x", 0, End::Stuck)
        .requests(20),
        Case::by("next link: always another, with other rows", |number, _| {
            let place = number.min(4);
            let row = good(&format!("n{place}")).replace("00:00:00", &format!("00:00:0{place}"));
            page_of(&row, &format!("$skip={number}"))
        })
        .top(5)
        .window("n0 n1 n2 n3 n4", 0, End::Whole)
        .pull("n0 n1 n2 n3 n4", 0, End::Stuck)
        .requests(20),
        Case::by("next link: always another, without rows", |number, _| {
            page_of("", &format!("$skip={number}"))
        })
        .pulls("", 0, End::Whole),
        Case::new("next link: empty", linked("")).pulls("x", 0, End::Whole),
    ];
    for status in [301, 302, 303, 307, 308] {
        cases.push(redirect(status, "http://{foreign}/tables/todo"));
    }
    // These lead nowhere, whatever they say.
    for status in [300, 304, 305] {
        let case = redirect(status, "http://{foreign}/tables/todo");
        cases.push(case.fails(Kind::Protocol));
    }
    cases.extend([
        redirect(307, "http://{own}/tables/todo"),
        redirect(308, "//{foreign}"),
        redirect(302, "https://{own}/tables/other"),
        redirect(301, ""),
        redirect(302, "http://login.example.com/?{foreign}").fails(Kind::SignIn),
        redirect(303, "javascript:alert(1)").fails(Kind::Protocol),
        Case::new(
            "redirect by refresh",
            json(200, "{}").with("refresh", "0; url=http://{foreign}/"),
        ),
        Case::new(
            "another service",
            json(200, "{}").with("alt-svc", "h2=\"{foreign}\"; ma=86400"),
        ),
        Case::new(
            "content at another place",
            json(200, r#"{"items":[]}"#).with("content-location", "http://{foreign}/tables/todo"),
        )
        .pulls("", 0, End::Whole),
        Case::new(
            "created at another place",
            json(
                201,
                r#"{"id":"new","version":"n1","updatedAt":"2026-02-01T00:00:00Z"}"#,
            )
            .with("location", "http://{foreign}/tables/todo/new"),
        )
        .insert(Want::Done),
    ]);
    cases
}

#[tokio::test]
async fn next_links_and_redirects() {
    check(cases()).await;
}
