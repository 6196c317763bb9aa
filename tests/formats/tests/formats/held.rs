//! What a release wrote is there as it said: records, queue, conflicts, positions, declarations.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use synctable::sync::{Operation, ParkedOperation, SyncContext};
use synctable::{Record, TableName};

use crate::fixture::{Fixture, TABLES};

/// A context over a device that knows no more than its store.
pub(crate) async fn context(fixture: &Fixture) -> SyncContext {
    let opened = SyncContext::builder(fixture.device()).open().await;
    opened.unwrap_or_else(|error| panic!("{}: {error}", fixture.name))
}

/// All records of a table as JSON lines, as `export` prints them.
pub(crate) async fn exported(sync: &SyncContext, table: &str) -> Vec<String> {
    let table = sync.table::<Record>(table).unwrap();
    let page = table.query().order_by("id").await.unwrap();
    assert!(page.next.is_none());
    page.records.iter().map(Record::to_json).collect()
}

/// An operation as `pending` prints it.
pub(crate) fn line(operation: &Operation, parked: Option<&ParkedOperation>) -> Value {
    let aside = operation.aside.as_ref().map(|aside| {
        json!({
            "reason": aside.kind,
            "status": aside.status,
            "message": aside.message,
            "nextTry": aside.next_try,
        })
    });
    json!({
        "seq": operation.seq,
        "table": operation.table,
        "id": operation.id,
        "kind": operation.kind.as_str(),
        "state": operation.state.as_str(),
        "attempts": operation.attempts,
        "status": parked.and_then(|parked| parked.status),
        "message": parked.map(|parked| &parked.message),
        "aside": aside,
    })
}

/// All that a user would miss.
pub(crate) async fn contents(sync: &SyncContext) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        all.extend(exported(sync, table).await);
    }
    for operation in sync.pending().await.unwrap() {
        all.push(line(&operation, None).to_string());
    }
    for conflict in sync.conflicts().await.unwrap() {
        all.push(format!("{:?}", conflict.conflict));
    }
    all.push(format!("{:?}", sync.inspect().await.unwrap().tokens));
    assert_eq!(sync.verify().await.unwrap(), []);
    all
}

/// Holds what is shown against a line of the release, which may have printed less.
fn assert_printed(shown: &Value, printed: &str, what: &str) {
    let printed: Value = serde_json::from_str(printed).unwrap();
    for (name, value) in printed.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{what}: {name} of {printed}");
    }
    // A release that knew no such thing left none behind.
    assert_eq!(
        shown["aside"].is_null(),
        printed["aside"].is_null(),
        "{what}: {shown}"
    );
}

/// The records of a conflict, in the digits and the order in which they were printed.
#[derive(Debug, Deserialize)]
struct Sides<'a> {
    #[serde(borrow)]
    base: Option<&'a RawValue>,
    #[serde(borrow)]
    local: Option<&'a RawValue>,
    #[serde(borrow)]
    server: Option<&'a RawValue>,
}

#[tokio::test]
async fn every_record_is_there_to_the_letter() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        for table in TABLES {
            let expected = fixture.expected(table);
            assert!(!expected.is_empty());
            let what = &fixture.name;
            assert_eq!(exported(&sync, table).await, expected, "{what}: {table}");
        }
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_queue_is_there_in_its_order() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        let what = &fixture.name;
        let parked = sync.parked().await.unwrap();
        let reason = |operation: &Operation| {
            let of_it = |parked: &&ParkedOperation| parked.operation.seq == operation.seq;
            parked.iter().find(of_it)
        };
        let queue = sync.pending().await.unwrap();
        let expected = fixture.expected("pending");
        assert_eq!(queue.len(), expected.len(), "{what}: {queue:?}");
        for (operation, printed) in queue.iter().zip(&expected) {
            assert_printed(&line(operation, reason(operation)), printed, what);
        }
        let states: Vec<&str> = queue.iter().map(|it| it.state.as_str()).collect();
        let begin = ["conflict", "conflict", "rejected", "attempted", "pending"];
        assert!(states.starts_with(&begin), "{what}: {states:?}");
        let held = |kind: &str| {
            queue
                .iter()
                .any(|operation| operation.kind.as_str() == kind)
        };
        assert!(["insert", "replace", "delete"].into_iter().all(held));
        // Of this one nobody knows whether it is at the server.
        assert!(queue[3].is_unsure(), "{what}");
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn conflicts_have_their_three_sides() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        let what = &fixture.name;
        let conflicts = sync.conflicts().await.unwrap();
        let expected = fixture.expected("conflicts");
        assert_eq!((conflicts.len(), expected.len()), (2, 2), "{what}");
        for (parked, printed) in conflicts.iter().zip(&expected) {
            let text = |record: &Option<Record>| record.as_ref().map(Record::to_json);
            let conflict = &parked.conflict;
            let shown = [&conflict.base, &conflict.local, &conflict.server].map(text);
            let sides: Sides = serde_json::from_str(printed).unwrap();
            let sides = [sides.base, sides.local, sides.server];
            let sides = sides.map(|side| side.map(|side| side.get().to_owned()));
            assert_eq!(shown, sides, "{what}");
            assert!(sides[0].is_some() && sides[1].is_some(), "{what}");
        }
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn pulls_go_on_from_where_they_were() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        let tokens = sync.inspect().await.unwrap().tokens;
        let shown: Vec<Value> = tokens
            .iter()
            .map(|token| {
                json!({
                    "table": token.table,
                    "query": token.query,
                    "filter": token.filter,
                    "time": token.time,
                })
            })
            .collect();
        let expected = fixture.expected("positions");
        let expected: Vec<Value> = expected
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(shown, expected, "{}", fixture.name);
        assert_eq!(expected.len(), 4);
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn declarations_are_those_that_were_given() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        let what = &fixture.name;
        let (known, given) = (sync.declarations(), fixture.schema());
        assert_eq!(given.tables().count(), 3);
        for (name, table) in given.tables() {
            let known = known.table(name).unwrap();
            assert_eq!(known.schema, table.schema, "{what}: {name}");
            assert_eq!(known.device, table.device, "{what}: {name}");
        }
        // Nobody declared it, so it has a name and no more.
        let notes = known.table(&TableName::new("notes").unwrap());
        assert!(notes.unwrap().schema.fields.is_empty(), "{what}");
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn every_store_holds_together() {
    for fixture in Fixture::all() {
        let sync = context(&fixture).await;
        let findings = sync.verify().await.unwrap();
        assert!(findings.is_empty(), "{}: {findings:?}", fixture.name);
        sync.store().check().await.unwrap();
        // An index that was built then finds what is there now.
        let movies = sync.table::<Record>("movies").unwrap();
        let since = synctable::query::field("year").gt(1990);
        let found = movies.query().filter(since).order_by("id").await.unwrap();
        let by_hand = |line: &String| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["year"].as_i64().is_some_and(|year| year > 1990)
        };
        let mut expected = fixture.expected("movies");
        expected.retain(by_hand);
        let found: Vec<String> = found.records.iter().map(Record::to_json).collect();
        assert_eq!(found, expected, "{}", fixture.name);
        sync.close().await.unwrap();
    }
}
