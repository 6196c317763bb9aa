//! The modelled server with classes: its answers are never what it was sent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use synctable_core::query::{RemoteQuery, field};
use synctable_core::transport::{
    Change, ChangeKind, ConflictCause, Outcome, Transport, TransportErrorKind as Kind,
};
use synctable_core::{Record, TableName, Version};
use synctable_testkit::engine::{Fault, TestServer};
use synctable_testkit::run;
use synctable_testkit::typed::{self, Flavour, Model};

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn insert(json: &str) -> Change {
    let record = Record::from_json(json).unwrap();
    Change::new(ChangeKind::Insert, record.id().clone()).with_record(record)
}

fn applied(outcome: Outcome) -> Record {
    match outcome {
        Outcome::Applied(Some(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_another_record_than_was_sent() {
    run(async {
        for flavour in Flavour::ALL {
            let server = TestServer::of_classes(flavour);
            let change = insert(r#"{"id":"a","n":1,"text":"é","nosuch":2}"#);
            let record = applied(server.apply(&todo(), &change).await.unwrap());
            let text = flavour.text("é");
            let body = format!(
                r#"{{"n":1,"m":0,"text":{text},"log":null,"done":false,"when":null,"uid":null,"mood":"Calm","more":null}}"#
            );
            assert_eq!(record.body(), body);
            assert_eq!(record.system().created_at, None);
            assert_eq!(server.row(&todo(), "a"), Some(record));
        }
    });
}

#[test]
fn what_it_cannot_take_is_refused_or_makes_it_fail() {
    run(async {
        let change = insert(r#"{"id":"a","mood":"Sad"}"#);
        let toolkit = TestServer::of_classes(Flavour::Toolkit);
        let error = toolkit.apply(&todo(), &change).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::Failed, Some(500)));
        assert_eq!(toolkit.row(&todo(), "a"), None);

        let zumo3 = TestServer::of_classes(Flavour::Zumo3);
        let outcome = zumo3.apply(&todo(), &change).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Rejected(why) if why.status == Some(400)
                && why.message.starts_with("mood: Error converting value \"Sad\"")),
            "{outcome:?}"
        );
    });
}

#[test]
fn one_fails_after_it_inserted_an_id_that_is_not_ascii() {
    run(async {
        let change = insert(r#"{"id":"ü1","n":1}"#);
        let server = TestServer::of_classes(Flavour::Toolkit);
        let error = server.apply(&todo(), &change).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::Failed, Some(500)));
        assert_eq!(server.effects(&todo(), "ü1"), 1);

        let server = TestServer::of_classes(Flavour::Zumo3);
        applied(server.apply(&todo(), &change).await.unwrap());
    });
}

#[test]
fn queries_and_members_follow_what_is_declared() {
    run(async {
        let server = TestServer::of_classes(Flavour::Toolkit);
        let model = Model::new("Line").with("of", typed::Kind::TEXT);
        server.declare(&todo(), model);
        let change = insert(r#"{"id":"a","of":"b","n":1}"#);
        let record = applied(server.apply(&todo(), &change).await.unwrap());
        assert_eq!(record.body(), r#"{"of":"b"}"#);
        let of = RemoteQuery::all().filter(field("of").eq("b"));
        let page = server.page(&todo(), &of, None).await.unwrap();
        assert_eq!((page.records.len(), page.last), (1, true));
        let n = RemoteQuery::all().filter(field("n").eq(1));
        let error = server.page(&todo(), &n, None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::BadQuery);
        let words = "Could not find a property named 'n' on type 'Srv.Line'.";
        assert!(error.to_string().contains(words), "{error}");
    });
}

/// The facts that the engine judges by.
#[test]
fn outcomes_tell_what_is_missing_in_the_way_or_moved() {
    run(async {
        let server = TestServer::new();
        let change = insert(r#"{"id":"a","n":1}"#);
        let of_kind = |kind, version: Option<&str>| {
            let mut change = change.clone().with_if_match(version.map(Version::new));
            change.kind = kind;
            change
        };
        for kind in [
            ChangeKind::Replace,
            ChangeKind::Undelete,
            ChangeKind::Delete,
        ] {
            let outcome = server.apply(&todo(), &of_kind(kind, Some("v"))).await;
            assert_eq!(outcome.unwrap(), Outcome::Missing, "{kind:?}");
        }
        applied(server.apply(&todo(), &change).await.unwrap());
        let kinds = [
            (ChangeKind::Insert, ConflictCause::Existing),
            (ChangeKind::Replace, ConflictCause::Version),
            (ChangeKind::Undelete, ConflictCause::Version),
            (ChangeKind::Delete, ConflictCause::Version),
        ];
        for (kind, cause) in kinds {
            let outcome = server.apply(&todo(), &of_kind(kind, Some("v"))).await;
            let Ok(Outcome::Conflict(conflict)) = outcome else {
                panic!("{kind:?}: {outcome:?}");
            };
            assert_eq!(conflict.cause, cause, "{kind:?}");
        }
    });
}

#[test]
fn faults_name_what_a_transport_would_name() {
    run(async {
        let server = TestServer::new();
        for (number, (fault, kind, status, done)) in [
            (Fault::Offline, Kind::Unreachable, None, false),
            (Fault::LostRequest, Kind::Broken, None, false),
            (Fault::Unauthorized, Kind::Unauthorized, Some(401), false),
            (Fault::Forbidden, Kind::Forbidden, Some(403), false),
            (Fault::Unavailable, Kind::Busy, Some(503), false),
            (Fault::Failure, Kind::Failed, Some(500), false),
            (Fault::LostAnswer, Kind::Timeout, None, true),
            (Fault::BadAnswer, Kind::Protocol, None, true),
            (Fault::Gateway(503), Kind::Busy, Some(503), true),
            (Fault::Gateway(502), Kind::Gateway, Some(502), true),
            (Fault::Gateway(500), Kind::Failed, Some(500), true),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("r{number}");
            server.fault(fault);
            let change = insert(&format!(r#"{{"id":"{id}"}}"#));
            let error = server.apply(&todo(), &change).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (kind, status), "{fault:?}");
            assert_eq!(server.row(&todo(), &id).is_some(), done, "{fault:?}");
        }
        assert_eq!(server.capabilities().operation_ids_kept, None);
        server.configure(|options| options.operation_ids = true);
        let capabilities = server.capabilities();
        let days = Duration::from_secs(30 * 24 * 60 * 60);
        assert_eq!(capabilities.operation_ids_kept, Some(days));
        assert_eq!(capabilities.server_time, Some(server.now()));
    });
}

/// One seed is one history.
#[test]
fn the_simulator_runs_over_classes() {
    use std::sync::Arc;
    use synctable_memory::MemoryStore;
    use synctable_testkit::sim::Simulation;

    let simulation = Simulation::new(|| Arc::new(MemoryStore::new()))
        .of_classes()
        .steps(100);
    assert_eq!(simulation.run(1), simulation.run(1));
    assert!(simulation.run(1).changes > 0);
}
