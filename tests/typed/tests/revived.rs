//! Records that are made again after their delete, at servers with classes, where any one request or answer on the way is lost. One of
//! the servers takes such a record in two requests, and between them the row is neither the tombstone nor the record.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::sync::SyncContext;
use synctable_http::{Dialect, HttpTransport};
use synctable_memory::MemoryStore;
use synctable_testkit::run;
use synctable_typed_server::{Flavour, Kind, Mishap, Model, TypedServer};

const MISHAPS: [Mishap; 4] = [
    Mishap::LoseRequest,
    Mishap::LoseAnswer,
    Mishap::Refuse(503),
    Mishap::AnswerInstead(503),
];

async fn device(server: &TypedServer) -> SyncContext {
    let dialect = match server.flavour() {
        Flavour::Toolkit => Dialect::Toolkit,
        Flavour::Zumo3 => Dialect::Zumo3,
    };
    let transport = HttpTransport::builder("http://typed.test")
        .dialect(dialect)
        .exchange(Arc::new(server.clone()))
        .build()
        .unwrap();
    let context = SyncContext::builder(Arc::new(MemoryStore::new())).transport(transport);
    context.open().await.unwrap()
}

/// Makes a record again while request `number` of the push has a mishap; true where there was such a request.
async fn made_again(flavour: Flavour, number: usize, mishap: Mishap) -> bool {
    let server = TypedServer::new(flavour);
    let memo = Model::new("Memo")
        .with("old", Kind::TEXT)
        .with("new", Kind::TEXT);
    server.declare("memos", memo);
    let context = device(&server).await;
    let memos = context.table::<Value>("memos").unwrap();
    memos.insert(&json!({"id": "a", "old": "1"})).await.unwrap();
    context.push().await.unwrap();
    memos.delete("a").await.unwrap();
    context.push().await.unwrap();
    memos.insert(&json!({"id": "a", "new": "1"})).await.unwrap();
    let before = server.requests().len();
    server.mishap_at(number, mishap);
    // It may stop: the next one goes on.
    let _ = context.push().await;
    let met = server.requests().len() - before > number;
    server.calm();
    let report = context.push().await.unwrap();
    let case = format!("{flavour:?}, request {number}: {mishap:?}");
    assert_eq!((report.conflicts, report.pending), (0, 0), "{case}");
    let [row] = &server.live("memos")[..] else {
        panic!("{case}: {:?}", server.live("memos"));
    };
    let value = |name| row.member(name).unwrap_or_default();
    assert_eq!(
        (value("new"), value("old")),
        (json!("1"), Value::Null),
        "{case}"
    );
    met
}

#[test]
fn a_record_made_again_arrives_whatever_is_lost() {
    run(async {
        for flavour in Flavour::ALL {
            for mishap in MISHAPS {
                let mut number = 0;
                while made_again(flavour, number, mishap).await {
                    number += 1;
                }
                assert!(number > 1, "{flavour:?}: {number} requests");
            }
        }
    });
}
