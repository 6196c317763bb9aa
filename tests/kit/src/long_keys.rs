//! Ids and indexed values as long as they may be, in numbers that share their beginnings: an engine whose own keys are short
//! has to keep them apart and in order all the same. Written in the docs of
//! [`LocalStore::query`](synctable_core::store::LocalStore::query), where the order of records is stated, and of `synctable_kv::Limits`.

use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStoreExt, WriteBatch};
use synctable_core::{FieldType, Record, RecordId, TableSchema};

use crate::Place;
use crate::fixture::{
    Store, all, assert_holds, assert_one, commit, declare, get, put, store_of, store_with, table,
};
use crate::reference::compare_query;

/// The beginnings that ids share: as many bytes as engines with short keys take, some less, and some more.
const SHARED: [usize; 6] = [0, 40, 120, 124, 125, 250];

fn record(id: &str, members: &str) -> Record {
    let id = RecordId::new(id).expect("an id of up to 255 characters");
    let json = format!(r#"{{"id":{:?}{members}}}"#, id.as_str());
    Record::from_json(&json).expect("a record")
}

/// Records in the order of their ids: long ones beside short ones with the same beginning, four bytes a character.
fn records() -> Vec<Record> {
    let mut ids = Vec::new();
    for shared in SHARED {
        let start = "😀".repeat(shared);
        ids.extend(["", "a", "b", "zz", "é", "😀", "😁"].map(|end| format!("{start}{end}")));
        ids.extend((0..7).map(|n| format!("{start}{}{n}", "x".repeat(250 - shared))));
    }
    ids.retain(|id| !id.is_empty());
    ids.sort_unstable();
    ids.dedup();
    let number = |(n, id): (usize, &String)| record(id, &format!(r#","n":{n}"#));
    ids.iter().enumerate().map(number).collect()
}

/// Records lie in the order of the bytes of their ids, however long these are, in pages of any size and from either end.
pub async fn long_ids_keep_their_order(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let records = records();
    // In another order than theirs.
    let (front, back) = records.split_at(records.len() / 2);
    put(&store, &todo, &[back, front].concat()).await;
    assert_holds(&store, &todo, &records).await;
    for query in [
        Query::all(),
        Query::all().order_by("id"),
        Query::all().order_by_desc("id"),
        Query::all().order_by_desc("n"),
    ] {
        for size in [1, 3, 50] {
            answers(
                &store,
                &TableSchema::new(),
                &records,
                &query.clone().page(size),
            )
            .await;
        }
    }
}

/// Each long id is its own: reading, replacing and removing one leaves those that begin alike as they are.
pub async fn long_ids_are_exact(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let mut records = records();
    put(&store, &todo, &records).await;
    for record in &records {
        // Get answers for each id exactly (LocalStore::get).
        assert_one(&store, &todo, record).await;
    }
    let mut batch = WriteBatch::new();
    for (n, old) in records.iter_mut().enumerate() {
        if n % 3 == 0 {
            *old = record(old.id().as_str(), r#","again":true"#);
            batch = batch.put(&todo, old.clone());
        }
    }
    for gone in records.iter().skip(1).step_by(3) {
        batch = batch.delete(&todo, gone.id());
    }
    commit(&store, batch).await;
    let gone: Vec<Record> = records.iter().skip(1).step_by(3).cloned().collect();
    let kept: Vec<Record> = records
        .iter()
        .filter(|it| !gone.contains(it))
        .cloned()
        .collect();
    assert_holds(&store, &todo, &kept).await;
    for record in &gone {
        assert_eq!(
            get(&store, &todo, record.id()).await,
            None,
            "a removed record is gone (LocalStore::commit)"
        );
    }
    // What comes back is at its place, one by one.
    for record in &gone {
        put(&store, &todo, std::slice::from_ref(record)).await;
    }
    assert_holds(&store, &todo, &records).await;
    commit(&store, WriteBatch::new().clear(&todo)).await;
    assert_holds(&store, &todo, &[]).await;
}

/// Indexed texts of the size of a record: found by equality and by range, and in order from either end, page by page.
pub async fn long_values_keep_their_order(harness: &dyn Place) {
    let todo = table("todo");
    let declared = TableSchema::new()
        .with_field("text", FieldType::String)
        .with_index(["text"]);
    let store = store_of(harness, &declare(&todo, declared.clone())).await;
    let mut records = Vec::new();
    for (n, shared) in [0, 100, 440, 500, 511, 512, 513, 700, 5000]
        .into_iter()
        .enumerate()
    {
        for (m, end) in ["", "a", "b", "b", "\u{0}", "ü", "zzzz"]
            .into_iter()
            .enumerate()
        {
            let text = serde_json::to_string(&format!("{}{end}", "q".repeat(shared)));
            let text = text.expect("a text is JSON");
            // Some of the ids are long, too.
            let id = format!("{}{n}-{m}", "i".repeat((n * 97 + m * 31) % 240));
            records.push(record(&id, &format!(r#","text":{text}"#)));
        }
    }
    records.sort_by(|a, b| a.id().cmp(b.id()));
    put(&store, &todo, &records).await;
    let same = format!("{}b", "q".repeat(513));
    for query in [
        Query::all().order_by("text"),
        Query::all().order_by_desc("text"),
        Query::all().filter(field("text").eq(same.as_str())),
        Query::all()
            .filter(field("text").gt(same.as_str()))
            .order_by("text"),
        Query::all()
            .filter(field("text").le(same.as_str()))
            .order_by_desc("text"),
    ] {
        for size in [1, 4, 100] {
            answers(&store, &declared, &records, &query.clone().page(size)).await;
        }
    }
    // The entries of what is removed go with it.
    let gone: Vec<Record> = records.iter().step_by(2).cloned().collect();
    let batch = gone.iter().fold(WriteBatch::new(), |batch, record| {
        batch.delete(&todo, record.id())
    });
    commit(&store, batch).await;
    records.retain(|record| !gone.contains(record));
    answers(
        &store,
        &declared,
        &records,
        &Query::all().order_by("text").page(5),
    )
    .await;
}

/// Many records whose ids differ at their very end.
pub async fn many_long_ids_are_paged_through(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let start = "界".repeat(250);
    let ids: Vec<String> = (0..300)
        .map(|n| format!("{start}{:03}", n * 7 % 300))
        .collect();
    let mut records: Vec<Record> = ids.iter().map(|id| record(id, "")).collect();
    put(&store, &todo, &records).await;
    records.sort_by(|a, b| a.id().cmp(b.id()));
    assert_eq!(
        all(&store, &todo).await,
        records,
        "records come by their ids (LocalStore::query)"
    );
    let query = Query::all().page(100);
    let found = store.query_all(&todo, &query).await.expect("query answers");
    assert_eq!(
        found, records,
        "pages follow each other without a gap (Page::next)"
    );
}

async fn answers(store: &Store, schema: &TableSchema, records: &[Record], query: &Query) {
    let compared = compare_query(&**store, &table("todo"), schema, records, query).await;
    if let Err(difference) = compared {
        panic!(
            "a query answers as the reference does, whatever the length of ids and values (LocalStore::query): {difference}"
        );
    }
}
