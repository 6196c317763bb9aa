//! Values that the schema does not know, such as a word that a newer release of the app added to an enum: nothing that a device does not
//! touch is judged, and it goes back to the server as the text that came.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::sync::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, Resolution, SyncTable,
};
use synctable_core::{Draft, Error, FieldType, Record, SchemaError, TableSchema};

use super::TestServer;
use super::device::{Device, todo};
use crate::Place;
use crate::fixture::{declare, record};

/// What a newer release wrote. The year is no integer of ours, and no number tool would print it like this.
const NEWER: &str = r#"{"year":12345678901234567890123.50,"title":"Alien","rating":"NC-17","price":1.50,"note":{"b":1,"a":2}}"#;

/// All that an older release has of it.
#[derive(Debug, Serialize, Deserialize)]
struct Film {
    id: String,
    title: String,
}

/// One that takes the words of its own time alone.
#[derive(Debug, Serialize, Deserialize)]
struct Rated {
    id: String,
    rating: Rating,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Rating {
    G,
    #[serde(rename = "PG")]
    Pg,
}

fn rating() -> FieldType {
    FieldType::Enum(vec!["G".into(), "PG".into()])
}

fn declared() -> TableSchema {
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer)
        .with_field("rating", rating())
        .with_field("price", FieldType::Number)
        .with_index(["rating"])
}

/// A device that pulled the record of a newer release.
async fn device(
    harness: &dyn Place,
    server: &TestServer,
    policy: ConflictPolicy,
) -> (Device, SyncTable<Film>, SyncTable<Record>) {
    server.put(&todo(), &newer());
    let schema = declare(&todo(), declared());
    let device = Device::built(harness, server, |builder| {
        builder.schema(schema).conflicts(policy)
    })
    .await;
    device.pull().await;
    let films = device.sync.table("todo").expect("a table name");
    let records = device.sync.table("todo").expect("a table name");
    (device, films, records)
}

/// A server that keeps text as it comes, also where the others of a run have types.
fn exact() -> TestServer {
    let server = TestServer::new();
    server.configure(|options| options.typed = false);
    server
}

fn newer() -> Record {
    record(&NEWER.replacen('{', r#"{"id":"a","#, 1))
}

/// The record with another title.
fn titled(title: &str) -> String {
    NEWER.replace("Alien", title)
}

fn at_server(server: &TestServer) -> Record {
    server.row(&todo(), "a").expect("the row is there")
}

/// Sends the change, and demands that the server has the same text but for the title.
async fn arrives(device: &Device, title: &str) {
    device.assert_says(&device.rows().await[0], &titled(title));
    assert_eq!(device.push().await.pushed, 1);
    device.assert_says(&at_server(&device.server), &titled(title));
    device.is_in_sync().await;
}

/// Members beside an unknown value can be changed by every handle, alone or in a transaction.
pub async fn records_with_unknown_values_are_edited(harness: &dyn Place) {
    let server = exact();
    let (device, films, records) = device(harness, &server, ConflictPolicy::Park).await;
    let title = |title: &str| json!({ "title": title });
    let changed = device.todo.update("a", &title("by value")).await;
    assert_eq!(changed.expect("it is there")["rating"], "NC-17");
    arrives(&device, "by value").await;
    let changed = films.update("a", &title("by type")).await;
    assert_eq!(changed.expect("it is there").title, "by type");
    arrives(&device, "by type").await;
    let changed = records.update("a", &title("by record")).await;
    device.assert_says(&changed.expect("it is there"), &titled("by record"));
    arrives(&device, "by record").await;
    let modified = films.modify("a", |film| json!({"title": film.title + "!"}));
    modified.await.expect("it is there");
    arrives(&device, "by record!").await;
    let mut transaction = device.sync.transaction();
    let staged = transaction.update(&films, "a", &title("one"));
    staged.expect("an id");
    let staged = transaction.modify(&films, "a", |film| json!({"title": film.title + " two"}));
    staged.expect("an id");
    transaction.commit().await.expect("both are edits");
    arrives(&device, "one two").await;
    // What another device has done meanwhile comes in, and is edited in turn.
    server.put(
        &todo(),
        &record(r#"{"id":"a","title":"x","rating":"R","year":"1979"}"#),
    );
    device.pull().await;
    films
        .update("a", &title("y"))
        .await
        .expect("it can be edited");
    assert_eq!(device.push().await.pushed, 1);
    let expected = r#"{"title":"y","rating":"R","year":"1979"}"#;
    device.assert_says(&at_server(&server), expected);
    device.is_in_sync().await;
}

/// A record that was read and is written back whole keeps its unknown values, whatever the type in between made of their spelling.
pub async fn replaced_records_keep_unknown_values(harness: &dyn Place) {
    let server = exact();
    let (device, _, records) = device(harness, &server, ConflictPolicy::Park).await;
    let read = |title: &str| record(&titled(title).replacen('{', r#"{"id":"a","#, 1));
    let replaced = records.replace(&read("replaced")).await;
    replaced.expect("it is there");
    arrives(&device, "replaced").await;
    records
        .upsert(&read("upserted"))
        .await
        .expect("it is there");
    arrives(&device, "upserted").await;
    let mut transaction = device.sync.transaction();
    let staged = transaction.replace(&records, &read("once"));
    staged.expect("it has an id");
    let staged = transaction.upsert(&records, &read("twice"));
    staged.expect("it has an id");
    transaction.commit().await.expect("both are edits");
    arrives(&device, "twice").await;
    // A tree of values prints the year in another way; that is no change of it.
    let mut tree = device.todo.get("a").await.expect("it is read");
    let tree = tree.as_mut().expect("it is there");
    tree["title"] = "by tree".into();
    device.todo.replace(tree).await.expect("it is there");
    assert_eq!(device.push().await.pushed, 1);
    let row = server.row(&todo(), "a").expect("the row is there");
    for (name, text) in row.members() {
        match &*name {
            "year" => {
                let year = record(&format!(r#"{{"id":"a","year":{text}}}"#));
                device.assert_says(&year, r#"{"year":12345678901234567890123.50}"#);
            }
            "title" => assert_eq!(text, r#""by tree""#),
            _ => {}
        }
    }
    assert_eq!(row.members().len(), 5);
    device.is_in_sync().await;
}

/// A member that a change sets is judged as ever, also where its old value is one that the schema does not know.
pub async fn what_a_change_sets_must_fit(harness: &dyn Place) {
    let server = exact();
    let (device, _, _) = device(harness, &server, ConflictPolicy::Park).await;
    let todo = &device.todo;
    let with = |id: &str, member: &str, value: Value| {
        let mut tree = json!({"id": id, "title": "Alien", "rating": "NC-17"});
        tree[member] = value;
        tree
    };
    let mut transaction = device.sync.transaction();
    let staged = transaction.replace(todo, &with("a", "rating", "X".into()));
    staged.expect("it is judged with the others");
    let refused = [
        (
            "rating",
            todo.update("a", &json!({"rating": "X"})).await.err(),
        ),
        (
            "year",
            todo.update("a", &json!({"year": "1979"})).await.err(),
        ),
        (
            "year",
            todo.replace(&with("a", "year", "1979".into())).await.err(),
        ),
        (
            "title",
            todo.upsert(&with("a", "title", 1.into())).await.err(),
        ),
        (
            "rating",
            todo.upsert(&with("new", "year", 1979.into())).await.err(),
        ),
        (
            "rating",
            todo.insert(&with("new", "year", 1979.into())).await.err(),
        ),
        (
            "year",
            todo.modify("a", |_| json!({"year": 1.5})).await.err(),
        ),
        ("rating", transaction.commit().await.err()),
    ];
    for (member, error) in refused {
        match error {
            Some(Error::Schema(SchemaError::Value {
                field, expected, ..
            })) => {
                assert_eq!(field, member);
                assert!(!expected.is_empty());
            }
            other => panic!("{member}: {other:?}"),
        }
    }
    device.assert_says(&device.rows().await[0], NEWER);
    assert_eq!(
        device
            .sync
            .pending_count()
            .await
            .expect("the queue is counted"),
        0
    );
    // To say the same again is no change, and what fits is taken.
    let same = json!({"rating": "NC-17", "title": "x"});
    todo.update("a", &same).await.expect("nothing unfit is new");
    let fits = json!({"rating": "PG", "year": 1979});
    todo.update("a", &fits).await.expect("both fit");
    assert_eq!(device.push().await.pushed, 1);
    let unknown = device.sync.unknown_values().await.expect("it is read");
    assert_eq!(unknown.count, 0);
    device.is_in_sync().await;
}

/// What both sides of a conflict changed is joined around values that this device does not know, its own base's and the server's.
pub async fn merges_keep_unknown_values(harness: &dyn Place) {
    let server = exact();
    let (device, films, _) = device(harness, &server, ConflictPolicy::Merge).await;
    let change = json!({"title": "Aliens"});
    films.update("a", &change).await.expect("it can be edited");
    let theirs = newer_with("price", "\"free\"");
    server.put(&todo(), &theirs);
    let report = device.push().await;
    assert_eq!((report.conflicts, report.pushed), (0, 1));
    // Only the title is changed.
    let expected = theirs.body().replace("Alien", "Aliens");
    device.assert_says(&at_server(&server), &expected);
    // The result can be edited on.
    let change = json!({"title": "Alien 3"});
    films.update("a", &change).await.expect("it can be edited");
    assert_eq!(device.push().await.pushed, 1);
    let expected = theirs.body().replace("Alien", "Alien 3");
    device.assert_says(&at_server(&server), &expected);
    device.is_in_sync().await;
}

/// Whoever decides a conflict may keep what either side has; what the decision itself sets must fit.
pub async fn decisions_keep_unknown_values(harness: &dyn Place) {
    for handled in [false, true] {
        let (server, place) = (exact(), harness.another());
        let policy = if handled {
            ConflictPolicy::custom(Decides)
        } else {
            ConflictPolicy::Park
        };
        let (device, films, _) = device(&*place, &server, policy).await;
        let change = json!({"title": "ours"});
        films.update("a", &change).await.expect("it can be edited");
        let theirs = newer_with("rating", r#""X""#).to_json();
        let theirs = record(&theirs.replace("Alien", "theirs"));
        server.put(&todo(), &theirs);
        let decided = theirs.body().replace("theirs", "decided");
        let report = device.push().await;
        assert_eq!(report.conflicts, u64::from(!handled));
        if !handled {
            let seq = device.only_seq().await;
            let with =
                |body: &str| Resolution::With(Draft::from_json(body).expect("a draft of a record"));
            let unfit = decided.replace(r#""X""#, r#""XX""#);
            let refused = device.sync.resolve(seq, with(&unfit)).await;
            assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
            let resolved = device.sync.resolve(seq, with(&decided)).await;
            resolved.expect("the conflict is parked");
            device.push().await;
        }
        device.assert_says(&at_server(&server), &decided);
        device.is_in_sync().await;
    }
}

/// Takes the server's record with a title of its own.
#[derive(Debug)]
struct Decides;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl ConflictHandler for Decides {
    async fn resolve(
        &self,
        conflict: &ConflictDetails,
    ) -> Result<ConflictDecision, Box<dyn std::error::Error + Send + Sync>> {
        let server = conflict.server.as_ref().ok_or("it is gone")?;
        let decided = server.to_json().replace("theirs", "decided");
        Ok(ConflictDecision::With(Record::from_json(&decided)?))
    }
}

fn newer_with(member: &str, text: &str) -> Record {
    let newer = newer();
    let old = newer.members();
    let old = old.iter().find(|(name, _)| name == member);
    let old = old.map_or("", |(_, text)| text);
    record(&newer.to_json().replace(
        &format!(r#""{member}":{old}"#),
        &format!(r#""{member}":{text}"#),
    ))
}

/// They are found, counted and ordered: after the declared words, by their text.
pub async fn unknown_values_are_queried(harness: &dyn Place) {
    let server = exact();
    let (device, _, records) = device(harness, &server, ConflictPolicy::Park).await;
    for (id, rating) in [("b", "\"PG\""), ("c", "\"G\""), ("d", "\"R\""), ("e", "7")] {
        let row = format!(r#"{{"id":"{id}","rating":{rating},"year":1979}}"#);
        server.put(&todo(), &record(&row));
    }
    device.pull().await;
    let ids = async |query: Query| {
        let page = records.query_with(query).await.expect("the table is read");
        let ids = page.into_iter().map(|record| record.id().to_string());
        ids.collect::<Vec<_>>().join(" ")
    };
    let filter = |filter| Query::all().filter(filter);
    assert_eq!(ids(Query::all().order_by("rating")).await, "e c b a d");
    assert_eq!(ids(Query::all().order_by_desc("rating")).await, "d a b c e");
    assert_eq!(ids(filter(field("rating").eq("NC-17"))).await, "a");
    assert_eq!(ids(filter(field("rating").eq("PG"))).await, "b");
    assert_eq!(ids(filter(field("rating").ne("PG"))).await, "a c d e");
    // Declared words compare by place; a text that is none compares as a text.
    assert_eq!(ids(filter(field("rating").ge("G"))).await, "a b c d");
    assert_eq!(ids(filter(field("rating").gt("PG"))).await, "d");
    assert_eq!(ids(filter(field("rating").eq(7))).await, "e");
    assert_eq!(ids(filter(field("year").gt(2000))).await, "a");
    let matching = Query::all().filter(field("year").eq(1979));
    assert_eq!(records.count(&matching).await.expect("it is counted"), 4);
    device.is_in_sync().await;
}

/// They are no damage; who asks is told where they are.
pub async fn unknown_values_are_told(harness: &dyn Place) {
    let server = exact();
    let (device, _, _) = device(harness, &server, ConflictPolicy::Park).await;
    for id in 0..150 {
        let row = format!(r#"{{"id":"b{id:03}","rating":"R"}}"#);
        server.put(&todo(), &record(&row));
    }
    device.pull().await;
    assert_eq!(device.sync.verify().await.expect("it is read"), []);
    let unknown = device.sync.unknown_values().await.expect("it is read");
    assert_eq!((unknown.count, unknown.first.len()), (152, 100));
    let mut told: Vec<_> = unknown.first[..3].iter().collect();
    // The members of a record come in its own order, which not every store keeps.
    told.sort_by_key(|value| (value.id.as_str(), value.member.as_str()));
    let names = told.iter();
    let names = names.map(|value| (value.id.as_str(), value.member.as_str()));
    let expected = [("a", "rating"), ("a", "year"), ("b000", "rating")];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert_eq!(told[0].expected, "one of G, PG");
    assert_eq!(told[0].table, todo());
    // The next release knows the word.
    let words = ["G", "PG", "NC-17", "R"].map(String::from).to_vec();
    let newer = TableSchema::new().with_field("rating", FieldType::Enum(words));
    let newer = declare(&todo(), newer);
    let device = Device::over(device.store, &server, |builder| builder.schema(newer)).await;
    let unknown = device.sync.unknown_values().await.expect("it is read");
    assert_eq!((unknown.count, unknown.first.len()), (1, 1));
}

/// A type that cannot take an unknown value is an error that names the record. What was changed beside it is stored, and who reads records
/// one by one has all the others.
pub async fn records_that_a_type_cannot_take_are_named(harness: &dyn Place) {
    let server = exact();
    let (device, _, records) = device(harness, &server, ConflictPolicy::Park).await;
    server.put(&todo(), &record(r#"{"id":"b","rating":"PG"}"#));
    device.pull().await;
    let rated: SyncTable<Rated> = device.sync.table("todo").expect("a table name");
    let is_named = |error: Error| match error {
        Error::Typed { table, id, .. } => assert_eq!((table, id.as_str()), (todo(), "a")),
        other => panic!("{other}"),
    };
    is_named(rated.get("a").await.expect_err("an unknown word"));
    is_named(rated.query().await.expect_err("an unknown word"));
    let modified = rated.modify("a", |_| json!({"title": "x"})).await;
    is_named(modified.expect_err("it is not read"));
    assert_eq!(
        device
            .sync
            .pending_count()
            .await
            .expect("the queue is counted"),
        0
    );
    let updated = rated.update("a", &json!({"title": "x"})).await;
    is_named(updated.expect_err("the change is stored, the record not read"));
    device.assert_says(&device.rows().await[0], &titled("x"));
    let page = records.query().await.expect("records take anything");
    let read: Vec<Rated> = page
        .into_iter()
        .filter_map(|record| record.to().ok())
        .collect();
    assert_eq!((read.len(), &read[0].rating), (1, &Rating::Pg));
    device.push().await;
    device.is_in_sync().await;
}
