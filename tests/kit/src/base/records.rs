//! Records: kept exactly, found by their exact id, in their own table.

use synctable_core::query::Query;
use synctable_core::store::{LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::{
    FieldType, Record, RecordId, SystemProperties, TableName, TableSchema, Timestamp, Version,
};

use crate::Place;
use crate::fixture::{
    Store, are_kept, assert_holds, assert_kept, assert_one, commit, declare, get, id, put, record,
    store_of, store_with, table,
};

/// The answer has one place for each id asked, also for missing ids and for ids asked twice.
pub async fn get_answers_in_the_order_asked(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let (a, b) = (record(r#"{"id":"a"}"#), record(r#"{"id":"b"}"#));
    put(&store, &todo, &[a.clone(), b.clone()]).await;
    let ids = ["b", "missing", "a", "b"].map(id);
    let found = store.get(&todo, &ids).await.expect("get answers");
    assert_eq!(found, [Some(b.clone()), None, Some(a), Some(b)]);
    assert_eq!(store.get(&todo, &[]).await.expect("get answers"), []);
}

/// No number of ids is too many.
pub async fn get_takes_many_ids(harness: &dyn Place) {
    const COUNT: usize = 40_000;
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let last = record(&format!(r#"{{"id":"{}"}}"#, COUNT - 1));
    put(&store, &todo, std::slice::from_ref(&last)).await;
    let ids: Vec<RecordId> = (0..COUNT).map(|number| id(&number.to_string())).collect();
    let mut found = store.get(&todo, &ids).await.expect("get answers");
    assert_eq!(found.len(), COUNT);
    assert_eq!(found.pop(), Some(Some(last)));
    assert!(found.iter().all(Option::is_none));
}

/// A put of a stored id leaves nothing of the earlier record.
pub async fn put_inserts_and_replaces_whole(harness: &dyn Place) {
    let todo = table("todo");
    let declared = TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::Integer);
    let store = store_of(harness, &declare(&todo, declared)).await;
    for json in [
        r#"{"id":"a","version":"1","updatedAt":"2024-02-29T12:00:00Z","deleted":true,"title":"A","free":1}"#,
        r#"{"id":"a","n":2,"other":{}}"#,
        r#"{"id":"a"}"#,
        r#"{"id":"a","title":"A"}"#,
    ] {
        put(&store, &todo, &[record(json)]).await;
        assert_holds(&store, &todo, &[record(json)]).await;
        assert_one(&store, &todo, &record(json)).await;
    }
}

/// A deleted record is gone; deleting a missing one is fine.
pub async fn delete_removes_and_ignores_the_missing(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let (a, b) = (record(r#"{"id":"a"}"#), record(r#"{"id":"b"}"#));
    put(&store, &todo, &[a.clone(), b.clone()]).await;
    let delete = || {
        WriteBatch::new()
            .delete(&todo, &id("missing"))
            .delete(&todo, &id("a"))
    };
    commit(&store, delete()).await;
    assert_eq!(get(&store, &todo, &id("a")).await, None);
    assert_holds(&store, &todo, std::slice::from_ref(&b)).await;
    commit(&store, delete()).await;
    assert_holds(&store, &todo, std::slice::from_ref(&b)).await;
    put(&store, &todo, std::slice::from_ref(&a)).await;
    assert_holds(&store, &todo, &[a, b]).await;
}

/// A clear removes every record of its table, and no other.
pub async fn clear_empties_one_table(harness: &dyn Place) {
    let (one, other) = (table("t"), table("t_"));
    let store = store_with(harness, &[&one, &other]).await;
    let records = many(250);
    put(&store, &one, &records).await;
    put(&store, &other, &records).await;
    commit(&store, WriteBatch::new().clear(&one)).await;
    assert_holds(&store, &one, &[]).await;
    assert_eq!(
        store
            .count(&one, &Query::all())
            .await
            .expect("count answers"),
        0
    );
    assert_holds(&store, &other, &records).await;
    commit(&store, WriteBatch::new().clear(&one)).await;
}

/// Writes are done in order: of several writes of one record the last one counts.
pub async fn later_write_of_a_record_wins(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let (first, second) = (record(r#"{"id":"a","n":1}"#), record(r#"{"id":"a","n":2}"#));
    let other = record(r#"{"id":"b"}"#);
    let batches = [
        (
            WriteBatch::new()
                .put(&todo, first.clone())
                .put(&todo, second.clone()),
            vec![&second],
        ),
        (
            WriteBatch::new()
                .put(&todo, first.clone())
                .delete(&todo, first.id()),
            vec![],
        ),
        (
            WriteBatch::new()
                .delete(&todo, first.id())
                .put(&todo, first.clone()),
            vec![&first],
        ),
        (
            WriteBatch::new().put(&todo, other.clone()).clear(&todo),
            vec![],
        ),
        (
            WriteBatch::new()
                .put(&todo, other.clone())
                .clear(&todo)
                .put(&todo, second.clone()),
            vec![&second],
        ),
        (
            WriteBatch::new()
                .clear(&todo)
                .put(&todo, first.clone())
                .put(&todo, other.clone()),
            vec![&first, &other],
        ),
    ];
    for (batch, expected) in batches {
        commit(&store, batch).await;
        let expected: Vec<Record> = expected.into_iter().cloned().collect();
        assert_holds(&store, &todo, &expected).await;
    }
}

/// Bodies that a store could easily spoil.
const BODIES: [&str; 12] = [
    "{}",
    r#"{"z":1,"a":2,"m":3}"#,
    r#"{"n":[1.50,1e2,1E+2,-0,-0.0,0.10,12345678901234567890,9007199254740993,1e-7,5e-324]}"#,
    r#"{"n":1.50,"m":1e2,"i":12345678901234567890,"j":-9223372036854775808,"k":9223372036854775808}"#,
    r#"{"none":null,"no":false,"yes":true,"zero":0,"empty":"","list":[],"object":{}}"#,
    r#"{"nul":"a\u0000b","escaped":"\u00e9\ud83d\ude00\/\b\f","raw":"é😀"}"#,
    r#"{"größe":"日本","e\u0301":"é","with space":1,"a/b":2,"it's":3,"":4,"\"":5,"\u0000":6}"#,
    r#"{"spaced":{ "b" : [ 1 , 2 ] ,"a":{}}}"#,
    r#"{"Title":"upper","title":"lower","ID":"not the id","Version":"not the version","__x":"odd"}"#,
    r#"{"text":"'; drop table todo; --","like":"%_","json":"{\"a\":1}","dots":"a.b","$x":"$.x"}"#,
    r#"{"date":"2024-02-29","looks":"2024-02-29T12:00:00+01:00","number":"1.50","null":"null"}"#,
    r#"{"deep":[[[[[[[[[[{"a":[{"b":[{"c":[]}]}]}]]]]]]]]]]}"#,
];

/// Without declared fields: names, order, spelling of numbers and texts are kept to the letter.
pub async fn free_members_survive_exactly(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    assert_survive(&store, &todo, &BODIES).await;
}

/// With declared fields the same holds, for values that fit their type and for others.
pub async fn declared_members_survive_exactly(harness: &dyn Place) {
    let todo = table("todo");
    let words = vec!["G".to_owned(), "R".to_owned()];
    let types = [
        ("title", FieldType::String),
        ("i", FieldType::Integer),
        ("n", FieldType::Number),
        ("yes", FieldType::Boolean),
        ("date", FieldType::Date),
        ("at", FieldType::Time),
        ("looks", FieldType::DateTime),
        ("raw", FieldType::Bytes),
        ("place", FieldType::GeoPoint),
        ("größe", FieldType::Json),
        ("it's", FieldType::Enum(words)),
    ];
    let names = types.clone().map(|(name, _)| name);
    let declared = types
        .into_iter()
        .fold(TableSchema::new(), |table, (name, ty)| {
            table.with_field(name, ty)
        });
    let store = store_of(harness, &declare(&todo, declared)).await;
    assert_survive(&store, &todo, &BODIES).await;
    // Every declared field with every kind of value.
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "1.0",
        "1.50",
        "1e2",
        "-1E-2",
        "9007199254740993",
        "9223372036854775808",
        r#""""#,
        r#""G""#,
        r#""A\u0000""#,
        r#""1""#,
        r#""AAAA""#,
        r#""2024-02-29""#,
        r#""12:30""#,
        r#""12:30:00.5000""#,
        r#""2024-02-29T12:30:00.50+01:00""#,
        r#""2024-02-29t12:30:00z""#,
        "[]",
        "{}",
        "[1, 2.0]",
        r#"{"type":"Point","coordinates":[13.40,52.5]}"#,
        r#"{ "coordinates":[1e1,2], "type":"Point" }"#,
    ];
    let bodies = values.map(|value| {
        let members: Vec<String> = names
            .iter()
            .map(|name| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    });
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    assert_survive(&store, &todo, &bodies).await;
}

async fn assert_survive(store: &Store, table: &TableName, bodies: &[&str]) {
    let records: Vec<Record> = bodies
        .iter()
        .enumerate()
        .map(|(number, body)| Record::new(id(&format!("{number:03}")), body).expect("a record"))
        .collect();
    commit(store, WriteBatch::new().clear(table)).await;
    put(store, table, &records).await;
    assert_holds(store, table, &records).await;
    for expected in &records {
        let found = get(store, table, expected.id())
            .await
            .expect("the record is there");
        let kept = are_kept(
            store.capabilities(),
            std::slice::from_ref(&found),
            std::slice::from_ref(expected),
        );
        assert!(kept, "{} came back as {}", expected.body(), found.body());
        // The store takes its own records back as what they are.
        commit(
            store,
            WriteBatch::new()
                .expect_same(table, found.clone())
                .put(table, found),
        )
        .await;
    }
    assert_holds(store, table, &records).await;
}

/// Decimals keep all their digits. A store that keeps values and no text may refuse one that it cannot hold, and rounds none.
pub async fn decimals_are_kept_or_refused(harness: &dyn Place) {
    let todo = table("todo");
    let declared = TableSchema::new().with_field("n", FieldType::Number);
    let store = store_of(harness, &declare(&todo, declared)).await;
    for number in [
        "0.1",
        "0.10000000000000000555",
        "12345678901234567890.12345",
        "9007199254740993",
        "-9223372036854775809",
        "1.7976931348623157e308",
        "123456789012345678901234567890123456789.5",
    ] {
        let given = record(&format!(r#"{{"id":"a","n":{number},"free":[{number}]}}"#));
        let batch = WriteBatch::new().put(&todo, given.clone());
        match store.commit(batch).await {
            Ok(_) => assert_one(&store, &todo, &given).await,
            Err(error) => {
                let may = store.capabilities().by_value;
                assert!(
                    may && error.kind() == StoreErrorKind::Unsupported,
                    "{number}: {error}"
                );
            }
        }
    }
}

/// A megabyte of text, with and without escapes.
pub async fn large_texts_survive(harness: &dyn Place) {
    let todo = table("todo");
    let declared = TableSchema::new().with_field("title", FieldType::String);
    let store = store_of(harness, &declare(&todo, declared)).await;
    for text in ["x", "é\\u0000\\n", "日"] {
        let text = text.repeat(1_000_000 / text.len());
        let large = record(&format!(r#"{{"id":"a","title":"{text}","free":"{text}"}}"#));
        put(&store, &todo, std::slice::from_ref(&large)).await;
        let found = get(&store, &todo, large.id())
            .await
            .expect("the record is there");
        let kept = are_kept(store.capabilities(), &[found], &[large]);
        assert!(kept, "a text of a megabyte was changed");
    }
}

/// Each system property with and without a value, to the last tick.
pub async fn system_properties_survive_in_every_combination(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let versions = [
        None,
        Some(""),
        Some("AAAAAAAAB9E="),
        Some("W/\"é\\\"'\u{0}"),
    ];
    let last = Timestamp::from_ticks(17_092_062_005_000_001);
    let times = [
        None,
        Some(Timestamp::EPOCH),
        Some(Timestamp::MIN),
        Some(Timestamp::MAX),
        Some(last),
    ];
    let mut records = Vec::new();
    for version in versions {
        for created_at in times {
            for updated_at in times {
                for deleted in [false, true] {
                    let version = version.map(Version::new);
                    let system = SystemProperties {
                        version,
                        created_at,
                        updated_at,
                        deleted,
                    };
                    let name = format!("{:04}", records.len());
                    let record = Record::new(id(&name), r#"{"n":1}"#).expect("a record");
                    records.push(record.with_system(system));
                }
            }
        }
    }
    put(&store, &todo, &records).await;
    assert_holds(&store, &todo, &records).await;
}

/// One id in several tables, whose names begin alike, names several records.
pub async fn tables_do_not_leak_into_each_other(harness: &dyn Place) {
    let names = [
        "t", "t_", "t0", "tt", "__t", "t__", "__t_t", "order", "select",
    ]
    .map(table);
    let store = store_with(harness, &names.each_ref()).await;
    let of = |name: &TableName| record(&format!(r#"{{"id":"a","in":"{name}"}}"#));
    for name in &names {
        put(&store, name, &[of(name)]).await;
    }
    for name in &names {
        assert_holds(&store, name, &[of(name)]).await;
    }
    for (index, name) in names.iter().enumerate() {
        commit(&store, WriteBatch::new().delete(name, &id("a"))).await;
        assert_holds(&store, name, &[]).await;
        for later in &names[index + 1..] {
            assert_holds(&store, later, &[of(later)]).await;
        }
    }
}

/// Ids are compared by their bytes: case, blanks, wildcards, quotes and composed letters all count.
pub async fn ids_are_exact(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let mut ids = [
        "a",
        "A",
        "aa",
        "aA",
        "a ",
        " a",
        "a b",
        "á",
        "a\u{301}",
        "ß",
        "SS",
        "%",
        "%61",
        "_",
        "__",
        "'",
        "''",
        ":",
        ";",
        "--",
        "*",
        "[a]",
        "{}",
        "$1",
        "@a",
        "a|b",
        "a,b",
        "a=b",
        "#",
        "&",
        "~",
        "null",
        "0",
        "00",
        "0.0",
        "1e2",
        "100",
        "😀",
        "日本",
        "\u{fffd}",
        "\u{10ffff}",
        "\u{e000}",
    ]
    .map(id)
    .to_vec();
    ids.extend([
        id(&"x".repeat(254)),
        id(&"x".repeat(255)),
        id(&"é".repeat(255)),
    ]);
    ids.sort();
    let records: Vec<Record> = ids
        .iter()
        .enumerate()
        .map(|(number, id)| {
            Record::new(id.clone(), &format!(r#"{{"n":{number}}}"#)).expect("a record")
        })
        .collect();
    for record in &records {
        let insert = WriteBatch::new()
            .expect_absent(&todo, record.id())
            .put(&todo, record.clone());
        commit(&store, insert).await;
    }
    assert_holds(&store, &todo, &records).await;
    let found = store.get(&todo, &ids).await.expect("get answers");
    let found: Vec<Record> = found.into_iter().flatten().collect();
    assert_kept(&store, &found, &records, "records by their ids");
    for (number, id) in ids.iter().enumerate() {
        commit(&store, WriteBatch::new().delete(&todo, id)).await;
        assert_holds(&store, &todo, &records[number + 1..]).await;
    }
}

/// The engine's own tables are ordinary ones, with ids that may be long and hold any character.
pub async fn system_tables_take_long_ids(harness: &dyn Place) {
    let operations = TableName::system("__operations");
    let store = store_with(harness, &[&operations]).await;
    let long = "todo|é/\"+?\\`\u{0}".repeat(300);
    let mut records = [
        "",
        "0",
        long.as_str(),
        &format!("{long}\u{0}"),
        &format!("{long}a"),
    ]
    .map(|text| Record::new(RecordId::system(text), r#"{"n":1}"#).expect("a record"));
    records.sort_by(|a, b| a.id().cmp(b.id()));
    put(&store, &operations, &records).await;
    assert_holds(&store, &operations, &records).await;
    for record in &records {
        assert_one(&store, &operations, record).await;
    }
}

/// A batch of some thousand writes and checks.
pub async fn large_batches_are_taken(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let records = many(5_000);
    let insert = |batch: WriteBatch, record: &Record| {
        batch
            .expect_absent(&todo, record.id())
            .put(&todo, record.clone())
    };
    commit(&store, records.iter().fold(WriteBatch::new(), insert)).await;
    assert_holds(&store, &todo, &records).await;
    assert_eq!(
        store
            .count(&todo, &Query::all())
            .await
            .expect("count answers"),
        5_000
    );
}

fn many(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| record(&format!(r#"{{"id":"{number:06}","n":{number}}}"#)))
        .collect()
}
