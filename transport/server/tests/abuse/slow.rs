//! Clients that take their time, or all of it.

use crate::attack::{After, Attack};
use crate::run::check;

const POST: &str =
    "POST /tables/hard HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

fn slow(name: &str, bytes: &str, statuses: &[u16]) -> Attack {
    Attack::new(&format!("slow: {name}"), bytes, statuses)
}

pub(crate) fn attacks() -> Vec<Attack> {
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let page = "GET /tables/hard HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50);
    vec![
        slow("silence", "", &[]),
        slow("silence in the request line", "GET /tab", &[]),
        slow(
            "silence in the head",
            "GET /tables/hard HTTP/1.1\r\nhost: localhost\r\n",
            &[],
        ),
        slow(
            "silence after a request",
            "GET /tables/hard/none HTTP/1.1\r\nhost: localhost\r\n\r\n",
            &[404],
        ),
        slow("a drip of a request line", "GET /", &[]).then(After::Drip),
        slow(
            "a drip of a header",
            "GET /tables/hard HTTP/1.1\r\nx: ",
            &[],
        )
        .then(After::Drip),
        slow(
            "silence before the body",
            &format!("{POST}content-length: 13\r\n\r\n"),
            &[408],
        ),
        slow(
            "silence in the body",
            &format!("{POST}content-length: 13\r\n\r\n{{\"id\":\"evil\""),
            &[408],
        ),
        slow(
            "a drip of a body",
            &format!("{POST}content-length: 10000\r\n\r\n"),
            &[408],
        )
        .then(After::Drip),
        slow(
            "silence in a chunk",
            &format!("{POST}{chunked}d\r\n{{\"id\":"),
            &[408],
        ),
        slow(
            "silence before the last chunk",
            &format!("{POST}{chunked}d\r\n{{\"id\":\"evil\"}}\r\n"),
            &[408],
        ),
        slow(
            "a drip of a chunk",
            &format!("{POST}{chunked}fff\r\n"),
            &[408],
        )
        .then(After::Drip),
        slow(
            "a drip of the size of a chunk",
            &format!("{POST}{chunked}f;"),
            &[408],
        )
        .then(After::Drip),
        slow(
            "silence after 'may I?'",
            &format!("{POST}expect: 100-continue\r\ncontent-length: 13\r\n\r\n"),
            &[100, 408],
        ),
        slow(
            "'may I?' for too much",
            &format!("{POST}expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n"),
            &[413],
        ),
        slow(
            "'may I?' for something else",
            &format!("{POST}expect: evil\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]"),
            &[400],
        ),
        slow("a client that does not read", &page, &[]).then(After::Deaf),
    ]
}

#[tokio::test]
async fn clients_that_take_their_time() {
    check(attacks()).await;
}
