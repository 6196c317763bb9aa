//! HTTP that is none, breaks off, lies about sizes, or goes on after its end.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{json, raw};
use crate::case::{Case, End, Want};
use crate::run::check;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// A page of no rows, as JSON.
const EMPTY: &str = r#"{"items":[]}"#;

/// Not HTTP: nobody can tell what it means.
fn not_http(name: &str, bytes: &str) -> Case {
    Case::new(format!("not HTTP: {name}"), raw(bytes))
}

/// Whatever follows the usual head.
fn after_head(name: &str, rest: &str) -> Case {
    Case::new(name, raw(format!("{HEAD}{rest}")))
}

/// A connection that ends before the answer. Reads are tried again.
fn broken(name: &str, bytes: &str) -> Case {
    Case::new(format!("breaks off: {name}"), raw(bytes)).fails(Kind::Broken)
}

/// A page of no rows: pulls take it, nothing else does.
fn empty_page(case: Case) -> Case {
    case.pulls("", 0, End::Whole)
}

#[expect(clippy::too_many_lines, reason = "a table, a case a row")]
pub(crate) fn cases() -> Vec<Case> {
    let bytes = EMPTY.chars().fold(String::new(), |bytes, c| {
        bytes + "1\r\n" + &String::from(c) + "\r\n"
    });
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let page = format!("{HEAD}content-length: 12\r\n\r\n{EMPTY}");
    vec![
        not_http("a greeting", "hello\r\n\r\n"),
        not_http("a page for people, HTTP/0.9", "<html>hello</html>\r\n\r\n"),
        not_http("a page of rows, HTTP/0.9", EMPTY),
        not_http("secure shell", "SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        not_http("mail", "220 mail ESMTP\r\n"),
        not_http("a TLS alert", "\x15\x03\x01\0\x02\x02\x28"),
        not_http("NULs", "\0\0\0\0\0\0\0\0\0\0"),
        not_http("a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        not_http("HTTP/3", "HTTP/3.0 200 OK\r\n\r\n"),
        not_http("HTTP/1.2", "HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n"),
        not_http("no version", "HTTP 200 OK\r\n\r\n"),
        not_http("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
        not_http("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        not_http("a status of five digits", "HTTP/1.1 99999 OK\r\n\r\n"),
        not_http("a negative status", "HTTP/1.1 -20 OK\r\n\r\n"),
        not_http(
            "a header without a colon",
            "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        ),
        not_http(
            "a blank in the name of a header",
            "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        ),
        not_http("a NUL in a header", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"),
        not_http("a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
        not_http("a folded header", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n"),
        not_http(
            "a negative length",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ),
        not_http(
            "a length of letters",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ),
        not_http(
            "a length beyond 64 bits",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        ),
        not_http(
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 12\r\ncontent-length: 13\r\n\r\n{\"items\":[]} ",
        ),
        not_http(
            "a list of lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 12, 13\r\n\r\n{\"items\":[]} ",
        ),
        broken("at once", ""),
        broken("in the status line", "HTTP/1.1 200"),
        broken("in the head", HEAD),
        broken(
            "in the body",
            &format!("{HEAD}content-length: 50\r\n\r\n{{\"id\":\"a\""),
        ),
        broken(
            "the length is too large for a whole page",
            &format!("{HEAD}content-length: 13\r\n\r\n{EMPTY}"),
        ),
        broken("in a chunk", &format!("{HEAD}{chunked}5\r\n{{\"id")),
        broken(
            "between chunks",
            &format!("{HEAD}{chunked}5\r\n{{\"id\"\r\n"),
        ),
        broken(
            "before the last chunk of a whole page",
            &format!("{HEAD}{chunked}c\r\n{EMPTY}\r\n"),
        ),
        broken(
            "in the last chunk",
            &format!("{HEAD}{chunked}c\r\n{EMPTY}\r\n0\r\n"),
        ),
        broken("in the size of a chunk", &format!("{HEAD}{chunked}c")),
        broken("after hints", hint),
        broken(
            "before the one byte of the body",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n",
        ),
        after_head(
            "length: too small for the page",
            &format!("content-length: 9\r\n\r\n{EMPTY}"),
        ),
        after_head(
            "length: nought, and a page",
            &format!("content-length: 0\r\n\r\n{EMPTY}"),
        ),
        after_head(
            "no length, half a page",
            "connection: close\r\n\r\n{\"items\":[",
        ),
        after_head(
            "chunks: half a page",
            &format!("{chunked}5\r\n{{\"id\"\r\n0\r\n\r\n"),
        ),
        after_head("chunks: sizes of letters", &format!("{chunked}zz\r\n")),
        after_head("chunks: a negative size", &format!("{chunked}-1\r\n")),
        after_head("chunks: two sizes", &format!("{chunked}5 5\r\n")),
        after_head(
            "chunks: a size beyond 64 bits",
            &format!("{chunked}ffffffffffffffffff\r\n"),
        ),
        after_head(
            "chunks: longer than they say",
            &format!("{chunked}5\r\n{{\"id\"junk"),
        ),
        after_head(
            "chunks: no size",
            &format!("{chunked}\r\n{EMPTY}\r\n0\r\n\r\n"),
        ),
        empty_page(after_head(
            "chunks: with extensions",
            &format!("{chunked}c;a=\"b\";c\r\n{EMPTY}\r\n0;x\r\n\r\n"),
        )),
        empty_page(after_head(
            "chunks: with trailers",
            &format!("{chunked}c\r\n{EMPTY}\r\n0\r\netag: \"evil\"\r\nset-cookie: x=y\r\n\r\n"),
        )),
        empty_page(after_head(
            "chunks of a byte",
            &format!("{chunked}{bytes}0\r\n\r\n"),
        )),
        // Both say where the body ends; the chunks win, as HTTP asks.
        empty_page(after_head(
            "chunks and a length",
            &format!("content-length: 3\r\n{chunked}c\r\n{EMPTY}\r\n0\r\n\r\n"),
        )),
        // The HTTP library reads these as the nearest thing that makes sense; what it makes of them is read as any body.
        empty_page(after_head(
            "chunks twice over",
            &format!("transfer-encoding: chunked\r\n{chunked}c\r\n{EMPTY}\r\n0\r\n\r\n"),
        )),
        empty_page(after_head(
            "a coding that nobody knows",
            &format!("transfer-encoding: rot13\r\n\r\n{EMPTY}"),
        )),
        empty_page(Case::new(
            "bytes after the body",
            raw(format!("{page}junk after the end\r\n\r\n")),
        )),
        empty_page(Case::new(
            "another answer after the body",
            raw(format!("{page}{page}{page}")),
        )),
        empty_page(Case::new(
            "line breaks before the answer",
            raw(format!("\r\n\r\n{page}")),
        )),
        empty_page(Case::new(
            "lines that end in a line feed alone",
            raw(page.replace("\r\n", "\n")),
        )),
        empty_page(Case::new("HTTP/1.0", raw(page.replace("1.1", "1.0")))),
        empty_page(Case::new(
            "a hundred hints",
            raw(format!("{}{page}", hint.repeat(100))),
        )),
        empty_page(Case::new(
            "asked to go on, unasked",
            raw(format!("HTTP/1.1 100 Continue\r\n\r\n{page}")),
        )),
        Case::new(
            "switches to another protocol",
            raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
        ),
        Case::new(
            "no content, with content",
            raw("HTTP/1.1 204 No Content\r\ncontent-length: 12\r\n\r\n{\"items\":[]}"),
        )
        .delete(Want::Done),
        Case::new(
            "no content, in chunks",
            raw("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        )
        .delete(Want::Done),
        Case::new(
            "not modified, unasked",
            raw("HTTP/1.1 304 Not Modified\r\netag: \"v9\"\r\n\r\n"),
        ),
        Case::new(
            "text that is no UTF-8",
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"items\":\"\xff\xfe\"}".to_vec()),
        ),
        Case::new(
            "UTF-16",
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[\0]\0".to_vec()),
        ),
        Case::new("a byte order mark", json(200, format!("\u{feff}{EMPTY}"))),
        Case::new(
            "another page after the page",
            json(200, format!("{EMPTY}{EMPTY}")),
        ),
        Case::new(
            "a header that is no UTF-8",
            raw(b"HTTP/1.1 200 OK\r\netag: \"\xff\xfe\"\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ),
        Case::new(
            "packed, unasked",
            json(200, EMPTY).with("content-encoding", "gzip"),
        ),
        Case::new(
            "packed in an unknown way",
            json(200, EMPTY).with("content-encoding", "zstd, br"),
        ),
        empty_page(Case::new(
            "packed as it is",
            json(200, EMPTY).with("content-encoding", "identity"),
        )),
        empty_page(Case::new(
            "a page called text",
            raw(page.replace("application/json", "text/plain")),
        )),
        Case::new(
            "a page for people",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 24\r\n\r\n<html>Please log in</html",
            ),
        ),
        Case::new(
            "a success without anything",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ),
    ]
}

#[tokio::test]
async fn broken_http() {
    check(cases()).await;
}
