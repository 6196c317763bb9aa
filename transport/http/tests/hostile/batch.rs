//! Answers to several changes in one request: nothing but one whole answer for each of them speaks of any.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use proptest::prelude::*;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeAnswer, ChangeKind, Outcome, Transport, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId, TableName, Version};
use synctable_http::{Exchange, HttpTransport};

use crate::fuzz::mutate::{Raw, mutated, try_many};

/// Says one thing to batches, and announces to everything else that it takes them.
#[derive(Debug, Default)]
struct Says(Mutex<(u16, Vec<u8>)>);

#[async_trait]
impl Exchange for Says {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        if !request.uri().path().ends_with("/$batch") {
            let hello = Response::builder().status(404);
            let hello = hello.header("synctable-batch", "10 100000");
            return Ok(hello.body(Bytes::new()).unwrap());
        }
        let (status, body) = self.0.lock().unwrap().clone();
        let mut answer = Response::new(body.into());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(answer)
    }
}

/// A way over it, which sends three changes.
struct Asked {
    says: Arc<Says>,
    transport: HttpTransport,
    changes: Vec<(TableName, Change)>,
}

impl Asked {
    fn new() -> Self {
        let says: Arc<Says> = Arc::default();
        let transport = HttpTransport::builder("http://in.process")
            .exchange(Arc::clone(&says) as _)
            .body_limit(100_000)
            .record_limit(10_000)
            .build()
            .unwrap();
        let change = |kind, id: &str| {
            let change = Change::new(kind, RecordId::new(id).unwrap()).with_operation_id(id);
            match kind {
                ChangeKind::Delete => change.with_if_match(Some(Version::new("v"))),
                _ => {
                    let record = Record::from_json(&format!(r#"{{"id":"{id}","n":1}}"#));
                    change.with_record(record.unwrap())
                }
            }
        };
        let changes = [
            change(ChangeKind::Insert, "a"),
            change(ChangeKind::Replace, "b").with_if_match(Some(Version::new("v"))),
            change(ChangeKind::Delete, "c"),
        ];
        let todo = TableName::new("todo").unwrap();
        Self {
            says,
            transport,
            changes: changes.map(|change| (todo.clone(), change)).into(),
        }
    }

    /// What they come to where the answer is this.
    async fn ask(&self, status: u16, body: &[u8]) -> Result<BatchAnswer, TransportError> {
        let id = RecordId::new("hello").unwrap();
        drop(self.transport.get(&self.changes[0].0, &id).await);
        assert!(self.transport.capabilities().batches.is_some());
        *self.says.0.lock().unwrap() = (status, body.to_vec());
        self.transport.apply_all(&self.changes).await
    }
}

const GOOD: &str = r#"{"responses":[{"id":"0","status":201,"headers":{"etag":"\"v1\""},"body":{"id":"a","n":1}},{"id":"1","status":412,"body":{"id":"b","version":"v2"}},{"id":"2","status":503,"headers":{"synctable-not-tried":"1"}}]}"#;

#[tokio::test]
async fn a_good_answer_speaks_of_each() {
    let asked = Asked::new();
    for body in [
        GOOD.to_owned(),
        // What is not known of is let be.
        GOOD.replace("{\"responses\"", "{\"@odata.context\":{},\"responses\""),
        GOOD.replace("\"status\":412", "\"status\":412,\"atomicityGroup\":null"),
        GOOD.replace(',', "\r\n ,\t"),
        GOOD.replace("\"1\"", "\"\\u0031\""),
    ] {
        let answer = asked.ask(200, body.as_bytes()).await.unwrap();
        let BatchAnswer::Each(each) = answer else {
            panic!("{answer:?}");
        };
        assert!(matches!(
            each[0],
            ChangeAnswer::Alone(Ok(Outcome::Applied(Some(_))))
        ));
        assert!(matches!(
            each[1],
            ChangeAnswer::Alone(Ok(Outcome::Conflict(_)))
        ));
        assert!(matches!(each[2], ChangeAnswer::NotTried), "{body}");
        assert_eq!(each.len(), 3);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_speaks_of_none() {
    let asked = Asked::new();
    let one = |id: &str| format!(r#"{{"id":"{id}","status":204}}"#);
    let list = |ids: &[&str]| {
        let all: Vec<_> = ids.iter().map(|id| one(id)).collect();
        format!(r#"{{"responses":[{}]}}"#, all.join(","))
    };
    let with = |third: &str| format!(r#"{{"responses":[{},{},{third}]}}"#, one("0"), one("1"));
    let mut bodies = vec![
        ("nothing", String::new()),
        ("no object", "[]".to_owned()),
        ("null", "null".to_owned()),
        ("no answers", "{}".to_owned()),
        ("null for answers", r#"{"responses":null}"#.to_owned()),
        (
            "an object of answers",
            r#"{"responses":{"0":{"status":204}}}"#.to_owned(),
        ),
        (
            "answers twice",
            format!(r#"{{"responses":[],{}"#, &GOOD[1..]),
        ),
        ("none", list(&[])),
        ("one missing", list(&["0", "1"])),
        ("the first missing", list(&["1", "2"])),
        ("swapped", list(&["1", "0", "2"])),
        ("one twice", list(&["0", "1", "1"])),
        ("one twice beside all", list(&["0", "1", "1", "2"])),
        ("one too many", list(&["0", "1", "2", "3"])),
        ("of others", list(&["3", "4", "5"])),
        ("numbers with zeros", list(&["0", "01", "2"])),
        ("nobody's", list(&["", "", ""])),
        (
            "a page",
            r#"{"items":[{"id":"a"},{"id":"b"},{"id":"c"}]}"#.to_owned(),
        ),
        ("a page for people", "<!doctype html>".to_owned()),
        ("text behind it", format!("{}x", list(&["0", "1", "2"]))),
        ("two of them", format!("{0}{0}", list(&["0", "1", "2"]))),
        (
            "ids that are numbers",
            list(&["0", "1", "2"]).replace("\"0\"", "0"),
        ),
        (
            "huge",
            format!(r#"{{"x":"{}",{}"#, "x".repeat(100_000), &GOOD[1..]),
        ),
        (
            "deep",
            format!("{}{}", "[".repeat(40_000), "]".repeat(40_000)),
        ),
        (
            "deep within",
            with(&format!(
                r#"{{"id":"2","status":200,"body":{}}}"#,
                "[".repeat(40_000)
            )),
        ),
        (
            "many within",
            format!(r#"{{"responses":[{}{}]}}"#, "0,".repeat(40_000), one("0")),
        ),
    ];
    for third in [
        "null",
        "7",
        "{}",
        "[]",
        r#"{"id":"2"}"#,
        r#"{"status":204}"#,
        r#"{"id":"2","status":"204"}"#,
        r#"{"id":"2","status":99}"#,
        r#"{"id":"2","status":1000}"#,
        r#"{"id":"2","status":-204}"#,
        r#"{"id":"2","status":204.0}"#,
        r#"{"id":"2","status":99999999999999999999}"#,
        r#"{"id":"2","status":204,"status":412}"#,
        r#"{"id":"2","id":"2","status":204}"#,
        r#"{"id":"2","status":204,"headers":7}"#,
        r#"{"id":"2","status":204,"headers":{"etag":7}}"#,
        r#"{"id":"2","status":204,"headers":{"e tag":"7"}}"#,
        r#"{"id":"2","status":204,"headers":{"":"7"}}"#,
        r#"{"id":"2","status":204,"headers":{"etag":"a\r\nx: y"}}"#,
        r#"{"id":"2","status":204,"headers":{"etag":"a","ETag":"b"}}"#,
    ] {
        bodies.push(("a bad answer", with(third)));
    }
    for end in 0..GOOD.len() {
        bodies.push(("cut", GOOD[..end].to_owned()));
    }
    for (what, body) in bodies {
        let shown = &body[..body.len().min(200)];
        match asked.ask(200, body.as_bytes()).await {
            Err(error) => {
                let kinds = [Kind::Protocol, Kind::TooLarge, Kind::Portal];
                assert!(kinds.contains(&error.kind()), "{what}: {error} {shown}");
                assert!(!error.kind().had_no_effect());
                assert!(error.to_string().len() < 400, "{what}: {error}");
            }
            answer => panic!("{what}: {answer:?} {shown}"),
        }
    }
}

const WORDS: [&str; 18] = [
    r#"{"id":"0","status":204},"#,
    r#""id":"1","#,
    r#""headers":{"synctable-repeated":"current"},"#,
    r#""headers":{"synctable-not-tried":"1"},"#,
    r#""body":{"id":"a"},"#,
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "null",
    "204",
    "1e999",
    "\\ud800",
    "\\u0000",
    "\u{e9}",
    "responses",
];

#[test]
fn whatever_comes_back_there_is_one_answer_for_each_or_none() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let asked = Asked::new();
    let spoken = Mutex::new((0, 0));
    let bodies = mutated(&[GOOD], &WORDS);
    let statuses = prop_oneof![4 => Just(200), 1 => 100..600_u16];
    try_many(3_000, &(bodies, statuses), |(Raw(body), status)| {
        let answer = runtime.block_on(asked.ask(status, &body));
        let mut spoken = spoken.lock().unwrap();
        match answer {
            Ok(BatchAnswer::Each(each)) => {
                prop_assert_eq!((each.len(), status), (3, 200));
                spoken.0 += 1;
            }
            Ok(_) => prop_assert!(matches!(status, 400..=499 | 501)),
            Err(error) => {
                let open = !error.kind().had_no_effect();
                prop_assert!(open || matches!(status, 401 | 403), "{error}");
                spoken.1 += 1;
            }
        }
        Ok(())
    });
    let (each, none) = *spoken.lock().unwrap();
    assert!(each > 0 && none > 0, "{each} {none}");
}
