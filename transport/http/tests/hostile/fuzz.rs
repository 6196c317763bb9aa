//! Answers that are nearly right, byte for byte, through the real client into a store.

#[path = "../../../../core/tests/fuzz/mutate.rs"]
pub(crate) mod mutate;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mutate::{Raw, mutated, try_many};
use proptest::prelude::*;
use serde_json::json;
use synctable_core::query::Query;
use synctable_core::transport::Transport as _;
use synctable_core::{Error, RecordId};

use crate::device::{Device, good};
use crate::server::{Reply, Server};

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 109\r\n\r\n{\"items\":[{\"id\":\"x\",\"version\":\"v\",\"updatedAt\":\"2026-02-01T00:00:00Z\",\"n\":[1,null]}],\"count\":1,\"nextLink\":\"\"}  ",
    "HTTP/1.1 200 OK\r\netag: \"v9\"\r\ndate: Sun, 01 Feb 2026 00:00:00 GMT\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"id\":\"a\",\r\n7\r\n\"n\":1.5\r\n1\r\n}\r\n0\r\n\r\n",
    "HTTP/1.1 503 Busy\r\nretry-after: 5\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"not now\"}}",
    "HTTP/1.0 200 OK\r\n\r\n[{\"id\":\"x\"},{\"id\":\"y\",\"deleted\":true}]",
];

const WORDS: [&str; 24] = [
    "\r\n",
    "\n",
    "\0",
    ":",
    " ",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "null",
    "1e999",
    "\\ud800",
    "\\u0000",
    "HTTP/1.1 100 \r\n\r\n",
    "content-length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "content-encoding: gzip\r\n",
    "ffffffffffffffff",
    "-1",
    "location: http://x/\r\n",
    "\u{e9}",
    "/../",
];

#[test]
fn answers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let says = Arc::clone(&answer);
    let (server, device) = runtime.block_on(async {
        let server = Server::scripted(move |_, request| match &*says.lock().unwrap() {
            Some(bytes) => Reply::raw(bytes.clone()).and_close(),
            None => good(request),
        })
        .await;
        let device = Device::new(&server.url(), &Arc::new(AtomicBool::new(false)), false).await;
        let edit = json!({"title": "mine"});
        device.table().update("c", &edit).await.unwrap();
        (server, device)
    });
    let id = RecordId::new("a").unwrap();
    let taken = AtomicUsize::new(0);
    try_many(1_000, &mutated(&ANSWERS, &WORDS), |Raw(bytes)| {
        *answer.lock().unwrap() = Some(bytes);
        let (pulled, read) = runtime.block_on(async {
            let pull = device.table().pull_full(Query::all()).without_push();
            (
                pull.await,
                device.transport.get(device.table().name(), &id).await,
            )
        });
        taken.fetch_add(
            usize::from(pulled.is_ok() || read.is_ok()),
            Ordering::Relaxed,
        );
        for error in [pulled.err(), read.err().map(Error::from)]
            .into_iter()
            .flatten()
        {
            let text = error.to_string();
            prop_assert!(
                !text.chars().any(char::is_control) && text.len() < 2000,
                "{text}"
            );
        }
        Ok(())
    });
    assert!(taken.into_inner() > 0, "no answer was taken");
    *answer.lock().unwrap() = None;
    runtime.block_on(async {
        let state = device.state().await;
        assert_eq!(
            state.operations.len(),
            1,
            "the change that waited still waits"
        );
        assert!(device.context.verify().await.unwrap().is_empty());
        assert_eq!(device.context.push().await.unwrap().pushed, 1);
        let pull = device.table().pull_full(Query::all());
        pull.await.expect("the good server is as good as before");
    });
    drop(server);
}
