//! What one user learns of what the other does.

use synctable_core::query::Query;
use synctable_core::store::{LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::{FieldType, Record, Schema, TableSchema};

use super::{beside, users};
use crate::changes::{is_named, since};
use crate::fixture::{assert_holds, commit, declare, id, put, record, store_of, table};
use crate::unordered::settled;
use crate::{Place, compare_query};

/// What one commits, the other reads at once, and is told of behind its own places.
pub async fn what_one_commits_the_other_reads_and_is_told(harness: &dyn Place) {
    let (one, two) = (table("one"), table("two"));
    let users = users(harness, &[&one, &two]).await;
    let row = |n: usize| record(&format!(r#"{{"id":"a","n":{n}}}"#));
    let b = record(r#"{"id":"b"}"#);
    let mut expected = Vec::new();
    for round in 0..12 {
        let (mine, theirs) = (&users[round % 2], &users[(round + 1) % 2]);
        let before = settled(theirs).await;
        // Whatever it keeps of what it has read, it has by now.
        assert_holds(theirs, &one, &expected).await;
        expected = match round % 4 {
            0 => {
                let batch = WriteBatch::new().put(&one, row(round));
                commit(mine, batch.put(&one, b.clone())).await;
                vec![row(round), b.clone()]
            }
            1 => {
                commit(mine, WriteBatch::new().delete(&one, &id("b"))).await;
                vec![row(round - 1)]
            }
            2 => {
                put(mine, &one, &[row(round)]).await;
                vec![row(round)]
            }
            _ => {
                commit(mine, WriteBatch::new().clear(&one)).await;
                Vec::new()
            }
        };
        assert_holds(theirs, &one, &expected).await;
        let count = theirs.count(&one, &Query::all()).await;
        assert_eq!(
            count.expect("count answers"),
            expected.len() as u64,
            "after `Ok` every later read sees all of the batch, whoever reads (LocalStore::commit)"
        );
        // Its own next commit comes behind, so what lies between is known by then.
        settled(theirs).await;
        let changed = since(theirs, before, 100).await;
        let changed = changed.expect("the last 10,000 changes are known (KNOWN_CHANGES)");
        let name = if round % 4 == 1 { "b" } else { "a" };
        assert!(
            is_named(&changed, &one, &id(name)),
            "{changed:?}: a store knows what was changed by whatever handle and process (LocalStore, changes)"
        );
    }
}

/// What one declares is there for the other, which writes and asks by it at once; and what the other adds is there for the first.
pub async fn declarations_of_one_hold_for_the_other(harness: &dyn Place) {
    const RULE: &str = "after `Ok` a declaration is in force for every later call, whoever makes it (LocalStore::define)";
    let (movies, books) = (table("movies"), table("books"));
    let year = TableSchema::new().with_field("year", FieldType::Integer);
    let one = store_of(harness, &declare(&table("todo"), TableSchema::new())).await;
    let other = beside(harness, &one).await;
    // Whatever it keeps of the declarations, it has by now.
    put(&other, &table("todo"), &[record(r#"{"id":"a"}"#)]).await;
    let declared = year.clone().with_index(["year"]);
    let done = one.define(&declare(&movies, declared.clone())).await;
    done.expect("define is taken");
    let rows = [r#"{"id":"a","year":10}"#, r#"{"id":"b","year":9}"#].map(record);
    put(&other, &movies, &rows).await;
    let query = Query::all().order_by("year");
    for user in [&one, &other] {
        let schema = user.schema().await.expect("schema answers");
        assert_eq!(schema.table(&movies), Some(&declared), "{RULE}");
        let answers = compare_query(user, &movies, &declared, &rows, &query).await;
        answers.expect(RULE);
    }
    let added = TableSchema::new().with_field("rank", FieldType::Number);
    let both = declared.with_field("rank", FieldType::Number);
    let more = declare(&movies, added).with_table(books.clone(), year);
    other.define(&more).await.expect("define adds");
    let schema = one.schema().await.expect("schema answers");
    assert_eq!(schema.table(&movies), Some(&both), "{RULE}");
    let late = TableSchema::new().with_field("rank", FieldType::String);
    let error = one.define(&declare(&movies, late)).await;
    let error = error.expect_err("the other has declared another type");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}: {RULE}");
    put(&one, &books, &rows).await;
    assert_holds(&other, &books, &rows).await;
}

/// A declaration that one replaces is replaced for the other: in what it says, how it answers, and what it writes.
pub async fn a_redefinition_of_one_holds_for_the_other(harness: &dyn Place) {
    const RULE: &str = "queries that follow answer as if the table had always been declared so, whoever asks (LocalStore::redefine)";
    let movies = table("movies");
    let before = TableSchema::new()
        .with_field("rank", FieldType::String)
        .with_index(["rank"]);
    let after = TableSchema::new()
        .with_field("rank", FieldType::Integer)
        .with_index(["rank"]);
    let one = store_of(harness, &declare(&movies, before.clone())).await;
    if !one.capabilities().redefines {
        return;
    }
    let other = beside(harness, &one).await;
    let mut rows: Vec<Record> = (0..20)
        .map(|n| record(&format!(r#"{{"id":"r{n:02}","rank":{}}}"#, n * 7 % 20)))
        .collect();
    put(&other, &movies, &rows).await;
    let queries = [
        Query::all().order_by("rank"),
        Query::all().filter(synctable_core::query::field("rank").ge(5)),
    ];
    for (declared, by) in [
        (&before, None),
        (&after, Some(&one)),
        (&before, Some(&other)),
    ] {
        if let Some(user) = by {
            let done = user.redefine(&movies, declared).await;
            done.expect("the declaration is replaced");
        }
        // Both write by the new declaration, too.
        for (user, at) in [(&one, 0), (&other, 1)] {
            let n = rows[at].member("rank").and_then(|n| n.as_u64());
            let next = n.unwrap_or_default() + 5;
            rows[at] = record(&format!(r#"{{"id":"r0{at}","rank":{next}}}"#));
            put(user, &movies, &rows[at..=at]).await;
        }
        for user in [&one, &other] {
            let schema = user.schema().await.expect("schema answers");
            let expected = Schema::new().with_table(movies.clone(), declared.clone());
            assert_eq!(schema, expected, "{RULE}");
            for query in &queries {
                let answers = compare_query(user, &movies, declared, &rows, query).await;
                answers.expect(RULE);
            }
        }
    }
}
