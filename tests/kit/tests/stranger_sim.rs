//! Found by the simulator: a delete that is based on nothing, as the insert before it was given up.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::sync::SyncContext;
use synctable_core::{Record, TableName};
use synctable_memory::MemoryStore;
use synctable_testkit::engine::{Fault, TestServer};

/// It does not remove what others made under the same id meanwhile, but meets it as a conflict.
#[test]
fn a_delete_after_an_insert_that_was_given_up_removes_no_stranger() {
    synctable_testkit::run(async {
        for operation_ids in [false, true] {
            for stranger in [false, true] {
                let server = TestServer::new();
                server.configure(|options| options.operation_ids = operation_ids);
                let table = TableName::new("t").unwrap();
                let builder = SyncContext::builder(Arc::new(MemoryStore::new()));
                let sync = builder.transport(server.clone()).open().await.unwrap();
                let rows = sync.table::<Value>("t").unwrap();
                rows.insert(&json!({"id": "a", "n": 1})).await.unwrap();
                server.fail(|_, change| (change.id.as_str() == "a").then_some(Fault::Failure));
                // It is given up once the server is seen to do others.
                let mut others = 0;
                while sync.parked().await.unwrap().is_empty() {
                    others += 1;
                    assert!(others < 10, "it is never given up");
                    let other = json!({"id": format!("other{others}"), "n": 0});
                    rows.insert(&other).await.unwrap();
                    sync.push().await.unwrap();
                }
                server.calm();
                rows.delete("a").await.unwrap();
                if stranger {
                    let theirs = Record::from_json(r#"{"id":"a","n":2}"#).unwrap();
                    server.put(&table, &theirs);
                }
                for parked in sync.parked().await.unwrap() {
                    sync.retry(parked.operation.seq).await.unwrap();
                }
                for operation in sync.pending().await.unwrap() {
                    if operation.aside.is_some() {
                        sync.retry(operation.seq).await.unwrap();
                    }
                }
                sync.push().await.unwrap();
                assert_eq!(server.live(&table).len(), others + usize::from(stranger));
                let conflicts = sync.conflicts().await.unwrap().len();
                assert_eq!(conflicts, usize::from(stranger));
                assert_eq!(sync.pending_count().await.unwrap(), u64::from(stranger));
                assert_eq!(server.violations(), [""; 0]);
            }
        }
    });
}
