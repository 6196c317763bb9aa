//! Changes that are to be done together or not at all, in one request.

use synctable_core::TableName;
use synctable_core::transport::{BatchAnswer, Change, Transport};
use synctable_http::{Dialect, HttpTransport};

use crate::batch::{delete, insert, replace, words};
use crate::server::{Reply, Request, Server};
use crate::{id, todo};

/// A server that announces batches and units, and answers by a script; and a transport that has heard it.
async fn announcing(
    limits: &'static str,
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Server, HttpTransport) {
    let server = Server::scripted(move |_, request| {
        if request.method == "GET" && request.target.contains("hello") {
            let ids = ("Synctable-Operation-Ids", "1");
            let units = ("Synctable-Units", "3");
            return Reply::with(404, &[ids, ("Synctable-Batch", limits), units], "");
        }
        script(request)
    })
    .await;
    let transport = server.builder().dialect(Dialect::Toolkit).build().unwrap();
    drop(transport.get(&todo(), &id("hello")).await);
    let announced = transport.capabilities().batches.unwrap();
    assert_eq!(announced.units, Some(3.min(announced.changes)));
    (server, transport)
}

fn of(unit: u64, change: Change) -> (TableName, Change) {
    (todo(), change.with_unit(Some(unit)))
}

/// The answers with these statuses.
fn answers(statuses: &[u16]) -> Reply {
    let answer =
        |(number, status): (usize, &u16)| format!(r#"{{"id":"{number}","status":{status}}}"#);
    let answers: Vec<_> = statuses.iter().enumerate().map(answer).collect();
    Reply::json(200, &format!(r#"{{"responses":[{}]}}"#, answers.join(",")))
}

#[tokio::test]
async fn those_of_a_unit_have_one_group_and_424_is_the_fault_of_another() {
    let (server, transport) = announcing("10 10000", |_| answers(&[204, 424, 404, 424])).await;
    let changes = [
        (todo(), delete("x")),
        of(7, replace("a")),
        of(7, delete("b")),
        of(7, insert("c")),
    ];
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done NotDone missing NotDone");
    let body: serde_json::Value = serde_json::from_str(&server.requests()[1].body).unwrap();
    let groups = body["requests"].as_array().unwrap().iter();
    let groups: Vec<_> = groups.map(|it| it["atomicityGroup"].as_str()).collect();
    assert_eq!(groups, [None, Some("u7"), Some("u7"), Some("u7")]);
}

#[tokio::test]
async fn a_unit_that_does_not_fit_is_left_as_a_whole_and_never_cut() {
    let (server, transport) = announcing("3 10000", |_| answers(&[204, 204])).await;
    let changes = [
        (todo(), delete("x")),
        (todo(), delete("y")),
        of(7, delete("a")),
        of(7, delete("b")),
        (todo(), delete("z")),
    ];
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done done - - -");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_unit_that_no_request_holds_is_refused_and_not_sent() {
    let (server, transport) = announcing("10 200", |_| answers(&[204, 204])).await;
    let changes = [of(7, insert("a")), of(7, insert("b")), of(7, insert("c"))];
    let answer = transport.apply_all(&changes).await.unwrap();
    assert!(matches!(answer, BatchAnswer::Refused(_)), "{answer:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn where_one_cannot_be_said_the_others_are_not_sent() {
    let (server, transport) = announcing("10 10000", |_| answers(&[204, 204])).await;
    let mut unsayable = insert("a");
    unsayable.operation_id = Some("k\n".to_owned());
    let changes = [
        (todo(), delete("x")),
        of(7, delete("b")),
        of(7, unsayable),
        (todo(), delete("y")),
    ];
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done NotDone bad request done");
    assert_eq!(server.requests().len(), 2);
}
