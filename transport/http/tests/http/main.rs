//! The transport against scripted servers on loopback sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod announced;
mod apply;
mod auth;
mod batch;
mod batch_answers;
mod connection;
mod diverted;
mod edges;
mod gzip;

mod links;
mod packed_requests;
mod page;
mod partial;
mod proxy;
mod read;
mod refusals;
mod secrets;
mod server;
mod tls;
mod undelete;
mod units;
mod user;
mod zumo;

use synctable_core::transport::{Change, ChangeKind};
use synctable_core::{Record, RecordId, TableName, Version};

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

/// A change to the record `a`: a delete, or a write of `{"title":"Milk"}`; on version `v1` but for an insert.
fn change(kind: ChangeKind) -> Change {
    let change = Change::new(kind, id("a"));
    let change = match kind {
        ChangeKind::Insert => change,
        _ => change.with_if_match(Some(Version::new("v1"))),
    };
    match kind {
        ChangeKind::Delete => change,
        _ => change.with_record(Record::from_json(r#"{"id":"a","title":"Milk"}"#).unwrap()),
    }
}

const KINDS: [ChangeKind; 4] = [
    ChangeKind::Insert,
    ChangeKind::Replace,
    ChangeKind::Delete,
    ChangeKind::Undelete,
];
