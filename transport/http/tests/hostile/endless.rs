//! Too much, too slow, or without end.

use synctable_core::transport::TransportErrorKind as Kind;

use crate::answer::{Answer, json, raw};
use crate::case::{Case, Want};
use crate::device::{BODY, HEAD};
use crate::run::check;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// More than is taken: said once, or for ever.
fn large(name: &str, answer: Answer) -> Case {
    Case::new(format!("too large: {name}"), answer).fails(Kind::TooLarge)
}

/// Something that nobody waits for.
fn slow(name: &str, answer: Answer) -> Case {
    Case::new(format!("too slow: {name}"), answer)
        .fails(Kind::Timeout)
        .quick()
}

pub(crate) fn cases() -> Vec<Case> {
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let full = "x".repeat(BODY + 1);
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    vec![
        large(
            "a body, announced",
            raw(format!("{OK}content-length: {}\r\n\r\n{full}", full.len())),
        ),
        large(
            "an announced terabyte, of which nothing comes",
            raw(format!("{OK}content-length: 1099511627776\r\n\r\n")),
        ),
        large(
            "the largest length there is",
            raw(format!("{OK}content-length: 18446744073709551613\r\n\r\n")),
        ),
        large(
            "a body without a length",
            raw(format!("{OK}connection: close\r\n\r\n{full}")),
        ),
        large(
            "an id of ten megabytes",
            json(
                200,
                format!(r#"{{"items":[{{"id":"{}"}}]}}"#, "x".repeat(10_000_000)),
            ),
        ),
        large(
            "one chunk",
            raw(format!(
                "{OK}{chunked}{:x}\r\n{full}\r\n0\r\n\r\n",
                full.len()
            )),
        ),
        large(
            "a chunk of exabytes",
            raw(format!(
                "{OK}{chunked}7fffffffffffffff\r\n{}",
                "x".repeat(1000)
            ))
            .for_ever(),
        ),
        large(
            "a body without end",
            raw(format!("{OK}\r\n[{}", "{},".repeat(1000))).for_ever(),
        ),
        large(
            "blanks without end",
            raw(format!("{OK}\r\n{}", " ".repeat(10_000))).for_ever(),
        ),
        large(
            "packed without end, unasked",
            raw(format!(
                "{OK}content-encoding: gzip\r\n\r\n{}",
                "\0".repeat(10_000)
            ))
            .for_ever(),
        ),
        large(
            "an error without end",
            raw(format!("HTTP/1.1 500 X\r\n\r\n{}", "sorry ".repeat(1000))).for_ever(),
        )
        .fails(Kind::Failed),
        large(
            "one header",
            raw(format!(
                "{OK}x: {}\r\ncontent-length: 0\r\n\r\n",
                "x".repeat(4 * HEAD)
            )),
        ),
        large(
            "a hundred thousand headers",
            raw(format!(
                "{OK}{}content-length: 0\r\n\r\n",
                "x: y\r\n".repeat(100_000)
            )),
        ),
        large(
            "headers without end",
            raw(format!("{OK}x: {}", "y".repeat(1000))).for_ever(),
        ),
        large(
            "a status line without end",
            raw(format!("HTTP/1.1 200 {}", "y".repeat(1000))).for_ever(),
        ),
        large(
            "trailers without end",
            raw(format!(
                "{OK}{chunked}2\r\n[]\r\n0\r\nx: {}\r\n",
                "y".repeat(1000)
            ))
            .for_ever(),
        )
        .fails(Kind::Protocol),
        large(
            "the extension of a chunk without end",
            raw(format!("{OK}{chunked}2;{}", "y".repeat(1000))).for_ever(),
        )
        .fails(Kind::Protocol),
        slow("hints without end", raw(hint).for_ever()),
        slow("silence", raw("").and_hang()),
        slow("silence in the status line", raw("HTTP/1.1 20").and_hang()),
        slow("silence in the head", raw(OK).and_hang()),
        slow("silence after hints", raw(hint).and_hang()),
        slow(
            "silence before the body",
            raw(format!("{OK}content-length: 50\r\n\r\n")).and_hang(),
        ),
        slow(
            "silence in the body",
            raw(format!("{OK}content-length: 50\r\n\r\n{{\"items\":[]}}")).and_hang(),
        ),
        slow(
            "silence in a chunk",
            raw(format!("{OK}{chunked}50\r\n{{\"items\":[]}}")).and_hang(),
        ),
        slow(
            "silence before the last chunk",
            raw(format!("{OK}{chunked}c\r\n{{\"items\":[]}}\r\n")).and_hang(),
        ),
        slow(
            "silence instead of an end",
            raw(format!("{OK}\r\n{{\"items\":[]}}")).and_hang(),
        ),
        slow(
            "a drip in the body",
            raw(format!("{OK}content-length: 100000\r\n\r\n[")).and_drip(),
        ),
        slow(
            "a drip without an end",
            raw(format!("{OK}\r\n{{\"items\":[]}}")).and_drip(),
        ),
        slow("a drip in the head", raw(format!("{OK}x:")).and_drip()),
        slow("silence after a busy answer", json(503, "{}").and_hang())
            .get(Want::Fails(Kind::Busy)),
    ]
}

#[tokio::test]
async fn what_does_not_end() {
    check(cases()).await;
}
