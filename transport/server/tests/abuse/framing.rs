//! Bytes that are not HTTP, or lie about where a request ends.

use crate::attack::{After, Attack};
use crate::run::check;

const POST: &str =
    "POST /tables/hard HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
const GET: &str = "GET /tables/hard?$top=0 HTTP/1.1\r\nhost: localhost\r\n";

fn junk(name: &str, bytes: &str) -> Attack {
    Attack::new(&format!("junk: {name}"), bytes, &[400])
}

/// A request with a body that must not be taken.
fn lie(name: &str, rest: &str, statuses: &[u16]) -> Attack {
    Attack::new(&format!("lie: {name}"), format!("{POST}{rest}"), statuses)
}

#[expect(clippy::too_many_lines, reason = "a table, an attack a row")]
pub(crate) fn attacks() -> Vec<Attack> {
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let body = r#"{"id":"evil"}"#;
    let smuggled = format!("{POST}content-length: 13\r\n\r\n{body}");
    vec![
        junk("NULs", "\0\0\0\0\0\0\0\0\r\n\r\n"),
        junk(
            "a TLS greeting",
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03",
        ),
        Attack::new(
            "junk: a preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &[],
        ),
        junk("no target", "GET\r\n\r\n"),
        junk("HTTP/0.9", "GET /tables/hard\r\n\r\n"),
        junk("HTTP/9.9", "GET /tables/hard HTTP/9.9\r\n\r\n"),
        junk(
            "a blank in the target",
            "GET /tables/hard x HTTP/1.1\r\n\r\n",
        ),
        junk(
            "a header without a colon",
            "GET /tables/hard HTTP/1.1\r\nbad\r\n\r\n",
        ),
        junk(
            "a header without a name",
            "GET /tables/hard HTTP/1.1\r\n: x\r\n\r\n",
        ),
        junk(
            "a blank before a colon",
            "GET /tables/hard HTTP/1.1\r\nhost : x\r\n\r\n",
        ),
        junk(
            "a NUL in a header",
            "GET /tables/hard HTTP/1.1\r\nx: a\0b\r\n\r\n",
        ),
        junk(
            "a folded header",
            "GET /tables/hard HTTP/1.1\r\nx: a\r\n b\r\n\r\n",
        ),
        junk("a method of signs", "G@T /tables/hard HTTP/1.1\r\n\r\n"),
        lie(
            "two lengths",
            &format!("content-length: 13\r\ncontent-length: 14\r\n\r\n{body}"),
            &[400],
        ),
        lie("a negative length", "content-length: -1\r\n\r\n", &[400]),
        lie(
            "a length with a plus",
            &format!("content-length: +13\r\n\r\n{body}"),
            &[400],
        ),
        lie(
            "a length of letters",
            "content-length: many\r\n\r\n",
            &[400],
        ),
        lie(
            "a length beyond 64 bits",
            "content-length: 99999999999999999999\r\n\r\n",
            &[400],
        ),
        lie(
            "a terabyte",
            "content-length: 1099511627776\r\n\r\n",
            &[413],
        ),
        lie(
            "a byte too much",
            &format!("content-length: 16385\r\n\r\n{}", "x".repeat(16_385)),
            &[413],
        ),
        lie(
            "chunks too large",
            &format!(
                "{chunked}{}",
                format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(17)
            ),
            &[413],
        ),
        lie(
            "a chunk of exabytes",
            &format!("{chunked}7fffffffffffffff\r\n{}", "x".repeat(20_000)),
            &[413],
        ),
        lie(
            "a chunk without a size",
            &format!("{chunked}\r\n{body}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "a chunk with a size of letters",
            &format!("{chunked}zz\r\n{body}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "a chunk with a negative size",
            &format!("{chunked}-d\r\n{body}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "a chunk with a size beyond 64 bits",
            &format!("{chunked}ffffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "a chunk longer than it says",
            &format!("{chunked}5\r\n{body}\r\n0\r\n\r\n"),
            &[400],
        ),
        lie(
            "the extension of a chunk without end",
            &format!("{chunked}d;{}", "x".repeat(100_000)),
            &[400],
        ),
        lie(
            "trailers without end",
            &format!("{chunked}0\r\n{}", "x: y\r\n".repeat(50_000)),
            &[400],
        ),
        lie(
            "an unknown coding",
            &format!("transfer-encoding: rot13\r\n\r\n{body}"),
            &[400],
        ),
        lie(
            "chunks that are not last",
            &format!("transfer-encoding: chunked, identity\r\n\r\n{body}"),
            &[400],
        ),
        lie(
            "half of a body, then the end",
            "content-length: 100\r\n\r\n{\"id\":\"evil\"",
            &[400],
        )
        .then(After::HalfClose),
        lie(
            "half of a chunk, then the end",
            &format!("{chunked}d\r\n{{\"id\":"),
            &[400],
        )
        .then(After::HalfClose),
        lie(
            "no last chunk, then the end",
            &format!("{chunked}d\r\n{body}\r\n"),
            &[400],
        )
        .then(After::HalfClose),
        Attack::new(
            "chunks and a length, with a request in the gap",
            format!("{POST}content-length: 5\r\n{chunked}0\r\n\r\n{smuggled}"),
            &[400],
        ),
        Attack::new(
            "a length and chunks, with a request in the gap",
            format!(
                "{POST}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            &[400],
        ),
        Attack::new(
            "half of a head, then the end",
            "GET /tables/hard HTTP/1.1\r\nho",
            &[],
        )
        .then(After::HalfClose),
        Attack::new("nothing, then the end", "", &[]).then(After::HalfClose),
        Attack::new(
            "a whole request, then the end",
            format!("{GET}\r\n"),
            &[200],
        )
        .then(After::HalfClose),
        Attack::new(
            "a good request, then junk",
            format!("{GET}\r\n\0\0\0\r\n\r\n"),
            &[200, 400],
        ),
        Attack::new(
            "a hundred requests at once",
            format!("{GET}\r\n").repeat(100),
            &[200; 100],
        )
        .then(After::HalfClose),
        Attack::new(
            "a hundred requests at once, half of one, and the end",
            format!("{}{POST}", format!("{GET}\r\n").repeat(100)),
            &[200; 100],
        )
        .then(After::HalfClose),
        Attack::new(
            "a body with a request for no content",
            format!("{GET}content-length: 13\r\n\r\n{body}{GET}\r\n"),
            &[200, 200],
        )
        .then(After::HalfClose),
        Attack::new("line breaks for ever", "\r\n", &[400])
            .then(After::Repeat)
            .any_statuses(),
        Attack::new("bytes for ever", "x".repeat(1000), &[400])
            .then(After::Repeat)
            .any_statuses(),
        Attack::new(
            "headers for ever",
            format!("{GET}{}", "x: y\r\n".repeat(20)),
            &[431],
        )
        .any_statuses()
        .then(After::Repeat),
        Attack::new(
            "an upgrade",
            format!(
                "{GET}connection: upgrade, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
            ),
            &[200],
        ),
    ]
}

#[tokio::test]
async fn bytes_of_all_kinds() {
    check(attacks()).await;
}
