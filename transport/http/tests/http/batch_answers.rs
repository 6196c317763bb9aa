//! Several changes in one request: what each answer means.

use std::time::Duration;

use synctable_core::Record;
use synctable_core::transport::{
    BatchAnswer, ChangeAnswer, Outcome, ServerRecord, Transport, TransportErrorKind as Kind,
};
use synctable_http::Dialect;

use crate::batch::{announcing, hear, heard, replace, three, words};
use crate::server::Reply;
use crate::todo;

const DIALECTS: [Dialect; 3] = [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3];

/// What three changes come to where the server answers with these, comma by comma.
async fn answered(dialect: Dialect, answers: &str) -> BatchAnswer {
    let body = format!(r#"{{"responses":[{answers}]}}"#);
    let server = announcing("10 10000", move |_| {
        let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        Reply::with(200, &[date], &body)
    })
    .await;
    let transport = heard(&server, dialect).await;
    transport.apply_all(&three()).await.unwrap()
}

fn each(answer: BatchAnswer) -> [ChangeAnswer; 3] {
    match answer {
        BatchAnswer::Each(each) => each.try_into().unwrap(),
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn each_answer_is_judged_as_if_it_had_come_alone() {
    let done = r#"{"id":"0","status":201,"headers":{"ETag":"\"v9\""},"body":{"id":"n 1","version":"v8","n":2}}"#;
    let conflict = r#"{"id":"1","status":412,"headers":{"etag":"\"v7\"","Synctable-Operation-Unknown-Since":"2026-01-01T00:00:00Z"},"body":{"id":"u","version":"v7","n":7}}"#;
    let refused = r#"{"id":"2","status":422,"headers":{},"body":{"error":"not so"}}"#;
    for dialect in DIALECTS {
        let answer = answered(dialect, &format!("{done},{conflict},{refused}")).await;
        let [first, second, third] = each(answer);
        let row = Record::from_json(r#"{"id":"n 1","version":"v9","n":2}"#).unwrap();
        assert!(
            matches!(&first, ChangeAnswer::Alone(Ok(Outcome::Applied(Some(now)))) if *now == row),
            "{first:?}"
        );
        let ChangeAnswer::Alone(Ok(Outcome::Conflict(conflict))) = second else {
            panic!("{second:?}");
        };
        let row = Record::from_json(r#"{"id":"u","version":"v7","n":7}"#).unwrap();
        assert_eq!(conflict.server, ServerRecord::Known(row));
        assert!(conflict.unknown_since.is_some());
        let ChangeAnswer::Alone(Ok(Outcome::Rejected(why))) = third else {
            panic!("{third:?}");
        };
        assert_eq!((why.status, &*why.message), (Some(422), "not so"));
    }
}

#[tokio::test]
async fn one_that_fails_leaves_the_others_as_they_are() {
    let busy = r#"{"id":"1","status":429,"headers":{"retry-after":"Sun, 06 Nov 1994 08:49:47 GMT"},"body":{"error":"slow"}}"#;
    let answers = |second: &str| {
        format!(
            r#"{{"id":"0","status":204}},{second},{{"id":"2","status":204,"body":null,"headers":null}}"#
        )
    };
    let [first, second, third] = each(answered(Dialect::Toolkit, &answers(busy)).await);
    assert!(matches!(
        first,
        ChangeAnswer::Alone(Ok(Outcome::Applied(None)))
    ));
    assert!(matches!(
        third,
        ChangeAnswer::Alone(Ok(Outcome::Applied(None)))
    ));
    let ChangeAnswer::Alone(Err(error)) = second else {
        panic!("{second:?}");
    };
    // By the clock of the whole answer.
    assert_eq!(error.retry_after(), Some(Duration::from_secs(10)));
    assert!(error.server_time().is_some());
    assert!(error.to_string().contains("/tables/todo/u"), "{error}");
    for (status, word) in [
        (400, "refused"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "missing"),
        (409, "conflict"),
        (410, "missing"),
        (413, "refused"),
        (500, "failed"),
        (501, "failed"),
        (502, "gateway"),
        (503, "busy"),
        // No answer to a change; the others stand.
        (200, "protocol"),
        (202, "protocol"),
        (302, "protocol"),
    ] {
        let second = format!(r#"{{"id":"1","status":{status}}}"#);
        let answer = answered(Dialect::Toolkit, &answers(&second)).await;
        assert_eq!(words(&answer), format!("done {word} done"), "{status}");
    }
}

#[tokio::test]
async fn what_is_repeated_is_told_from_what_is_done_now() {
    let repeated = |id: usize, said: &str, rest: &str| {
        format!(r#"{{"id":"{id}","headers":{{"synctable-repeated":"{said}"}},{rest}}}"#)
    };
    for dialect in [Dialect::Toolkit, Dialect::Zumo2] {
        let answers = [
            repeated(
                0,
                "current",
                r#""status":201,"body":{"id":"n 1","version":"v2"}"#,
            ),
            repeated(
                1,
                "earlier",
                r#""status":200,"body":{"id":"u","version":"v2"}"#,
            ),
            repeated(2, "current", r#""status":204"#),
        ];
        let answer = answered(dialect, &answers.join(",")).await;
        assert_eq!(words(&answer), "current done current");
        let answers = [
            // Nothing was done, so it is nothing that the server holds.
            repeated(0, "current", r#""status":409"#),
            repeated(1, "Current, earlier", r#""status":204"#),
            repeated(2, "current", r#""status":503"#),
        ];
        let answer = answered(dialect, &answers.join(",")).await;
        assert_eq!(words(&answer), "conflict done busy");
    }
}

#[tokio::test]
async fn what_was_not_looked_at_is_no_attempt() {
    let untried = |id: usize, status: u16, said: &str| {
        let headers = format!(r#"{{"synctable-not-tried":"{said}"}}"#);
        format!(r#"{{"id":"{id}","status":{status},"headers":{headers}}}"#)
    };
    let done = r#"{"id":"0","status":204}"#;
    let answers = [done.to_owned(), untried(1, 503, "1"), untried(2, 503, "1")];
    let answer = answered(Dialect::Zumo3, &answers.join(",")).await;
    assert_eq!(words(&answer), "done - -");
    // With another status or value it says nothing.
    let answers = [done.to_owned(), untried(1, 204, "1"), untried(2, 503, "0")];
    let answer = answered(Dialect::Zumo3, &answers.join(",")).await;
    assert_eq!(words(&answer), "done done busy");
    // The first one was looked at: who is told so again and again would ask for ever.
    let answers = [0, 1, 2].map(|id| untried(id, 503, "1"));
    let answer = answered(Dialect::Zumo3, &answers.join(",")).await;
    assert_eq!(words(&answer), "busy - -");
}

#[tokio::test]
async fn members_alone_that_are_not_taken_are_told_within_a_batch_too() {
    let server = announcing("10 10000", |_| {
        let answers = r#"{"id":"0","status":405},{"id":"1","status":405}"#;
        Reply::json(200, &format!(r#"{{"responses":[{answers}]}}"#))
    })
    .await;
    let transport = heard(&server, Dialect::Toolkit).await;
    let part = replace("p").with_members(Some(vec!["n".to_owned()]));
    let changes = [part, replace("w")].map(|change| (todo(), change));
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "whole refused");
}

#[tokio::test]
async fn a_large_record_fails_alone_and_a_large_answer_as_a_whole() {
    let large = format!(r#"{{"id":"u","version":"v","x":"{}"}}"#, "x".repeat(500));
    let body = format!(
        r#"{{"responses":[{{"id":"0","status":204}},{{"id":"1","status":200,"body":{large}}},{{"id":"2","status":204}}]}}"#
    );
    for (record, whole, expected) in [
        (1000, body.len(), "done done done"),
        (400, body.len(), "done too large done"),
        (1000, body.len() - 1, ""),
    ] {
        let body = body.clone();
        let server = announcing("10 10000", move |_| Reply::json(200, &body)).await;
        let builder = server.builder().record_limit(record).body_limit(whole);
        let transport = builder.build().unwrap();
        hear(&transport).await;
        match transport.apply_all(&three()).await {
            Ok(answer) => assert_eq!(words(&answer), expected),
            Err(error) => {
                assert_eq!((error.kind(), expected), (Kind::TooLarge, ""));
            }
        }
    }
}
