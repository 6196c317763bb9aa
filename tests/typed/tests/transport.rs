//! The HTTP transport over the typed server, and the simulator over both.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use synctable_core::transport::{
    Change, ChangeKind, ConflictCause, Outcome, ServerRecord, Transport, TransportErrorKind,
};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_http::{Dialect, HttpTransport};
use synctable_memory::MemoryStore;
use synctable_testkit::run;
use synctable_testkit::sim::Simulation;
use synctable_typed_server::{Flavour, Mishap, TypedServer};

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn typed(flavour: Flavour) -> (TypedServer, HttpTransport) {
    let schema = Schema::new().with_table(todo(), TableSchema::new());
    let server = TypedServer::of_schema(flavour, &schema);
    server.set_page(2);
    let dialect = match flavour {
        Flavour::Toolkit => Dialect::Toolkit,
        Flavour::Zumo3 => Dialect::Zumo3,
    };
    let transport = HttpTransport::builder("http://typed.test")
        .dialect(dialect)
        .exchange(Arc::new(server.clone()));
    (server, transport.build().unwrap())
}

fn change(kind: ChangeKind, json: &str, base: Option<&Record>) -> Change {
    let record = Record::from_json(json).unwrap();
    let change = Change::new(kind, record.id().clone())
        .with_if_match(base.and_then(Record::version).cloned())
        .with_base(base.cloned());
    if kind == ChangeKind::Delete {
        change
    } else {
        change.with_record(record)
    }
}

fn applied(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Applied(Some(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_go_there_and_come_back_as_others() {
    run(async {
        for flavour in Flavour::ALL {
            let (server, transport) = typed(flavour);
            let apply = async |kind, json: &str, base: Option<&Record>| {
                let change = change(kind, json, base);
                transport.apply(&todo(), &change).await.unwrap()
            };
            let insert = apply(ChangeKind::Insert, r#"{"id":"a","n":1,"nosuch":2}"#, None).await;
            let first = applied(insert);
            assert_eq!(Some(&first), server.row("todo", "a").as_ref());
            assert!(first.body().contains(r#""mood":"Calm""#), "{first:?}");
            assert!(!first.body().contains("nosuch"), "{first:?}");

            let again = apply(ChangeKind::Insert, r#"{"id":"a","n":3}"#, None).await;
            let Outcome::Conflict(again) = again else {
                panic!("{again:?}");
            };
            assert_eq!(again.cause, ConflictCause::Existing);

            let edit = r#"{"id":"a","n":2,"when":"2026-01-01T00:00:00.1234567+01:00"}"#;
            let second = applied(apply(ChangeKind::Replace, edit, Some(&first)).await);
            let stale = apply(ChangeKind::Replace, edit, Some(&first)).await;
            let Outcome::Conflict(stale) = stale else {
                panic!("{stale:?}");
            };
            assert_eq!(stale.cause, ConflictCause::Version);
            assert_eq!(stale.server, ServerRecord::Known(second.clone()));

            let gone = apply(ChangeKind::Delete, r#"{"id":"a"}"#, Some(&second)).await;
            assert_eq!(gone, Outcome::Applied(None));
            let gone = apply(ChangeKind::Delete, r#"{"id":"a"}"#, Some(&second)).await;
            assert_eq!(gone, Outcome::Missing);
            let tombstone = transport.get(&todo(), first.id()).await.unwrap().unwrap();
            assert!(tombstone.is_deleted());
            let back = apply(
                ChangeKind::Undelete,
                r#"{"id":"a","n":4}"#,
                Some(&tombstone),
            )
            .await;
            let back = applied(back);
            assert!(
                !back.is_deleted() && back.body().contains(r#""n":4"#),
                "{back:?}"
            );
            assert!(back.body().contains(r#""when":null"#), "{back:?}");
            assert_eq!(server.violations(), [""; 0]);
        }
    });
}

#[test]
fn refusals_name_the_member_where_the_server_does() {
    run(async {
        let sad = change(ChangeKind::Insert, r#"{"id":"a","mood":"Sad"}"#, None);
        let (_, transport) = typed(Flavour::Zumo3);
        let outcome = transport.apply(&todo(), &sad).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Rejected(why) if why.message.contains("mood: Error converting value \"Sad\"")),
            "{outcome:?}"
        );
        let (server, transport) = typed(Flavour::Toolkit);
        let error = transport.apply(&todo(), &sad).await.unwrap_err();
        assert_eq!(error.kind(), TransportErrorKind::Failed);
        // It is done all the same.
        let foreign = change(ChangeKind::Insert, r#"{"id":"ü1"}"#, None);
        let error = transport.apply(&todo(), &foreign).await.unwrap_err();
        assert_eq!(error.kind(), TransportErrorKind::Failed);
        assert_eq!(server.effects("todo", "ü1"), 1);
    });
}

#[test]
fn mishaps_are_the_facts_that_they_are() {
    run(async {
        for (mishap, kind) in [
            (Mishap::Offline, TransportErrorKind::Unreachable),
            (Mishap::LoseRequest, TransportErrorKind::Broken),
            (Mishap::LoseAnswer, TransportErrorKind::Timeout),
            (Mishap::Refuse(403), TransportErrorKind::Forbidden),
            (Mishap::AnswerInstead(503), TransportErrorKind::Busy),
            (Mishap::AnswerInstead(502), TransportErrorKind::Gateway),
        ] {
            let (server, transport) = typed(Flavour::Toolkit);
            server.mishap(mishap);
            let insert = change(ChangeKind::Insert, r#"{"id":"a"}"#, None);
            let error = transport.apply(&todo(), &insert).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{mishap:?}");
        }
    });
}

/// One seed is one history here, too.
#[test]
fn the_simulator_runs_over_it() {
    let simulation = Simulation::new(|| Arc::new(MemoryStore::new()))
        .steps(100)
        .server(|schema, dice| {
            let server = TypedServer::of_schema(Flavour::ALL[dice.below(2)], &schema.schema());
            server.set_page(u32::try_from(1 + dice.below(4)).unwrap());
            Arc::new(server)
        });
    for seed in 0..3 {
        assert_eq!(simulation.run(seed), simulation.run(seed));
    }
    assert!(simulation.run(1).changes > 0);
}
