//! Requests that are HTTP: too large, of odd methods, to odd places, with odd queries and bodies.

use crate::attack::Attack;
use crate::run::check;

/// A query of the table, and the status that answers it.
fn query(name: &str, query: &str, status: u16) -> Attack {
    Attack::get(
        &format!("query: {name}"),
        &format!("/tables/hard?{query}"),
        status,
    )
}

/// A path that names no table.
fn path(name: &str, path: &str, status: u16) -> Attack {
    Attack::get(&format!("path: {name}"), path, status)
}

fn method(method: &str, status: u16) -> Attack {
    Attack::request(
        &format!("method: {method}"),
        method,
        "/tables/hard",
        "",
        "",
        status,
    )
}

/// A body that must not become a record.
fn body(name: &str, body: &str) -> Attack {
    Attack::request(
        &format!("body: {name}"),
        "POST",
        "/tables/hard",
        "",
        body,
        400,
    )
}

fn header(name: &str, line: &str, status: u16) -> Attack {
    Attack::request(
        &format!("header: {name}"),
        "GET",
        "/tables/hard",
        &format!("{line}\r\n"),
        "",
        status,
    )
}

#[expect(clippy::too_many_lines, reason = "a table, an attack a row")]
pub(crate) fn attacks() -> Vec<Attack> {
    let long = "x".repeat(5000);
    let deep = |depth: usize| format!("{}1%20eq%201{}", "(".repeat(depth), ")".repeat(depth));
    vec![
        path("longer than the limit", &format!("/tables/{long}"), 414),
        path(
            "longer than all headers",
            &format!("/tables/{}", "x".repeat(40_000)),
            431,
        ),
        path(
            "longer than the HTTP library takes",
            &format!("/tables/{}", "x".repeat(70_000)),
            431,
        ),
        path("dots", "/tables/../etc/passwd", 404),
        path("dots at the start", "/../tables/hard", 404),
        path("escaped dots", "/tables/%2e%2e/x", 404),
        path("escaped slashes", "/tables/..%2f..%2fetc%2fpasswd", 404),
        path("escaped backslashes", "/tables/..%5c..%5cetc", 404),
        path("escaped twice", "/tables/%252e%252e%252f", 404),
        path("a NUL", "/tables/hard%00", 404),
        path("a line break", "/tables/hard%0d%0aX-Evil:%201", 404),
        path("a table of the engine", "/tables/__operations", 404),
        path("the times of the server", "/tables/__sequence", 404),
        path("not UTF-8", "/tables/%ff%fe", 400),
        path("half of an escape", "/tables/hard%2", 400),
        path("an escape of letters", "/tables/%zz", 400),
        path("not ASCII", "/tables/h%C3%A4rd", 404),
        path("a blank", "/tables/hard%20", 404),
        path("a quote", "/tables/hard';drop%20table%20hard;--", 404),
        path("an asterisk", "*", 404),
        path("another host", "http://other.example/tables/none%2f", 403),
        path("no table", "/tables/", 404),
        path("many slashes", &"/".repeat(3000), 404),
        path("an id of dots", "/tables/hard/..", 400),
        path("an id of escaped dots", "/tables/hard/%2e%2e", 400),
        path("an id with a slash", "/tables/hard/a%2fb", 400),
        path("an id with a NUL", "/tables/hard/a%00", 400),
        path("an id with a line break", "/tables/hard/a%0d%0ab", 400),
        path(
            "an id too long",
            &format!("/tables/hard/{}", "x".repeat(256)),
            400,
        ),
        path(
            "an id of 3,000 bytes",
            &format!("/tables/hard/{}", "%C3%A9".repeat(500)),
            400,
        ),
        path("a record of a record", "/tables/hard/a/b", 404),
        method("TRACE", 405),
        method("PROPFIND", 405),
        method("PATCH", 405),
        method("DELETE", 405),
        method("get", 405),
        method("X-EVIL", 405),
        method(&"M".repeat(3000), 405),
        Attack::request("method: CONNECT", "CONNECT", "localhost:80", "", "", 404),
        query("top of -1", "$top=-1", 400),
        query("top of 2^63", "$top=9223372036854775808", 400),
        query("top of 2^64", "$top=18446744073709551616", 400),
        query("top of a fraction", "$top=1.5", 400),
        query("top of letters", "$top=all", 400),
        query("skip of -1", "$skip=-1", 400),
        query("skip of 2^64 - 1", "$skip=18446744073709551615", 200),
        query("skip of 2^64", "$skip=18446744073709551616", 400),
        query(
            "a skip and a top whose sum is too large",
            "$skip=18446744073709551615&$top=128000",
            200,
        ),
        query("a place that is none", "$skiptoken=evil", 400),
        query(
            "a place of 3,000 bytes",
            &format!("$skiptoken={}", "A".repeat(3000)),
            400,
        ),
        query(
            "a filter of 40 levels",
            &format!("$filter={}", deep(40)),
            200,
        ),
        query(
            "a filter of 1,000 levels",
            &format!("$filter={}", deep(1000)),
            400,
        ),
        query(
            "a filter of 1,900 levels, open",
            &format!("$filter={}", "(".repeat(1900)),
            400,
        ),
        query(
            "a filter of nots",
            &format!("$filter={}true", "not%20".repeat(600)),
            400,
        ),
        query(
            "a filter of minuses",
            &format!("$filter={}1%20eq%201", "-".repeat(3000)),
            400,
        ),
        query(
            "a filter of calls",
            &format!("$filter={}id{}", "tolower(".repeat(400), ")".repeat(400)),
            400,
        ),
        query(
            "a filter of ors",
            &format!("$filter=n%20eq%201{}", "%20or%20n%20eq%201".repeat(150)),
            200,
        ),
        query(
            "a list of a thousand",
            &format!("$filter=n%20in%20(1{})", ",1".repeat(1000)),
            200,
        ),
        query("a quote without an end", "$filter=id%20eq%20'x", 400),
        query(
            "a text of quotes",
            &format!("$filter=id%20eq%20'{}'", "''".repeat(1500)),
            200,
        ),
        query(
            "a number of a thousand digits",
            &format!("$filter=n%20eq%20{}", "9".repeat(1000)),
            400,
        ),
        query("a NUL in a filter", "$filter=id%20eq%20'%00'", 200),
        query("not UTF-8", "$filter=%ff", 400),
        query("half of an escape", "$filter=%4", 400),
        query(
            "many orders",
            &format!("$orderby=n{}", ",n".repeat(31)),
            200,
        ),
        query(
            "too many orders",
            &format!("$orderby=n{}", ",n".repeat(1000)),
            400,
        ),
        query(
            "orders that are none",
            &format!("$orderby={}", ",".repeat(3000)),
            400,
        ),
        query(
            "many members",
            &format!("$select=n{}", ",n".repeat(1000)),
            200,
        ),
        query("two filters", "$filter=n%20eq%201&$filter=n%20eq%202", 400),
        query("a thousand parameters", &"a=b&".repeat(1000), 200),
        query("three thousand ampersands", &"&".repeat(3000), 200),
        query("an unknown option", "$evil=1", 400),
        query(
            "a regular expression",
            "$filter=matchesPattern(id,'(a%2b)%2b$')",
            400,
        ),
        query(
            "a part of a text, far behind",
            "$filter=substring(id,9223372036854775807)%20eq%20''",
            200,
        ),
        query("a remainder of nought", "$filter=n%20mod%200%20eq%201", 200),
        query(
            "a quotient of the smallest number",
            "$filter=-9223372036854775808%20div%20-1%20eq%20n",
            200,
        ),
        body("nothing", ""),
        body("no JSON", "evil"),
        body("half of it", r#"{"id":"evil""#),
        body("a list", r#"[{"id":"evil"}]"#),
        body("null", "null"),
        body("text", "\"evil\""),
        body("two records", r#"{"id":"evil"}{"id":"evil2"}"#),
        body(
            "deep lists",
            &format!(r#"{{"id":"evil","n":{}}}"#, "[".repeat(8000)),
        ),
        body(
            "deep objects",
            &format!(
                r#"{{"id":"evil","n":{}1{}}}"#,
                r#"{"n":"#.repeat(1000),
                "}".repeat(1000)
            ),
        ),
        body("a number beyond doubles", r#"{"id":"evil","n":1e999}"#),
        body("half a surrogate", r#"{"id":"evil","n":"\ud800"}"#),
        body("an id of dots", r#"{"id":".."}"#),
        body("an id with a slash", r#"{"id":"evil/evil"}"#),
        body("an id with a line break", r#"{"id":"evil\r\nX-Evil: 1"}"#),
        body("a blank id", r#"{"id":"   "}"#),
        body("an id of a number", r#"{"id":7}"#),
        body(
            "an id too long",
            &format!(r#"{{"id":"{}"}}"#, "x".repeat(10_000)),
        ),
        body(
            "a time that is none",
            r#"{"id":"evil","updatedAt":"yesterday"}"#,
        ),
        Attack::request(
            "body: packed",
            "POST",
            "/tables/hard",
            "content-encoding: gzip\r\n",
            "\x1f",
            400,
        ),
        header("one too long", &format!("x: {long}{long}{long}{long}"), 431),
        header("a thousand", &"x: y\r\n".repeat(1000), 431),
        header("tags that are none", "if-none-match: evil", 200),
        header(
            "tags without an end",
            &format!("if-match: {}", "\"a\",".repeat(2000)),
            200,
        ),
        header("a range", "range: bytes=0-0,5-", 200),
        header("a date that is none", "if-modified-since: yesterday", 200),
        header("two hosts", "host: evil.example", 400),
        header(
            "a page of another site",
            "origin: https://evil.example",
            403,
        ),
        header("two pages", "origin: null\r\norigin: http://localhost", 400),
        Attack::new(
            "a header: no host",
            "GET /tables/hard HTTP/1.1\r\n\r\n",
            &[400],
        ),
        Attack::new(
            "a header: a name that somebody made point here",
            "GET /tables/hard HTTP/1.1\r\nhost: evil.example\r\n\r\n",
            &[403],
        ),
        Attack::request(
            "a form of another site",
            "POST",
            "/tables/hard?zumo-api-version=2.0.0",
            "origin: https://evil.example\r\n",
            r#"{"id":"evil"}"#,
            403,
        ),
        Attack::new(
            "a form of an old browser, which does not say where the page is from",
            "POST /tables/hard?zumo-api-version=2.0.0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\n{\"id\":\"evil\"}",
            &[415],
        ),
        header(
            "forwarded",
            "x-forwarded-host: evil.example\r\nx-original-url: /admin",
            200,
        ),
        header("another method", "x-http-method-override: DELETE", 200),
        header("a version that is none", "zumo-api-version: ../../etc", 200),
    ]
}

#[tokio::test]
async fn requests_of_all_kinds() {
    check(attacks()).await;
}
