//! Packed bodies of requests.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use serde_json::json;
use synctable_server::{Limits, TableServer};

use crate::common::*;

fn packed(body: &[u8]) -> Vec<u8> {
    packed_at(Compression::best(), body)
}

fn packed_at(level: Compression, body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), level);
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

async fn post_bytes(server: &TableServer, target: &str, coding: &str, body: Vec<u8>) -> u16 {
    let request = Request::post(target)
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .body(Bytes::from(body))
        .unwrap();
    let answer = server.handle(request).await;
    assert_eq!(answer.headers()["accept-encoding"], "gzip");
    answer.status().as_u16()
}

#[tokio::test]
async fn bodies_may_be_packed_and_limits_count_them_unpacked() {
    let mut limits = Limits::default();
    limits.body = 1000;
    limits.batch_body = 2000;
    let store = TestStore::new(true, 0);
    let server = builder(store, &TestClock::new())
        .limits(limits)
        .build()
        .await
        .unwrap();
    let soft = "/tables/soft";
    let good = packed(br#"{"id":"a","n":1}"#);
    assert_eq!(post_bytes(&server, soft, "GZip", good.clone()).await, 201);
    assert_eq!(
        get(&server, "/tables/soft/a").await.expect(200).json()["n"],
        1
    );
    let of_size = |bytes: usize| {
        let empty = r#"{"id":"b","x":""}"#.len();
        packed(format!(r#"{{"id":"b","x":"{}"}}"#, "x".repeat(bytes - empty)).as_bytes())
    };
    assert_eq!(post_bytes(&server, soft, "gzip", of_size(1001)).await, 413);
    assert_eq!(post_bytes(&server, soft, "gzip", of_size(1000)).await, 201);
    // A thousand times as much as it came with.
    assert_eq!(
        post_bytes(&server, soft, "gzip", packed(&vec![b' '; 700_000])).await,
        413
    );
    let cut = good[..good.len() - 3].to_vec();
    let long = [good.clone(), b"x".to_vec()].concat();
    for bad in [Vec::new(), b"{}".to_vec(), cut, long] {
        assert_eq!(post_bytes(&server, soft, "gzip", bad).await, 400);
    }
    for coding in ["br", "deflate", "gzip, gzip", ""] {
        assert_eq!(post_bytes(&server, soft, coding, good.clone()).await, 415);
    }
    let batch = |id: &str, bytes: usize| {
        let headers = json!({"x-operation-id": id});
        let body = json!({"id": id, "x": "x".repeat(bytes)});
        let one =
            json!({"id": "1", "method": "POST", "url": "soft", "headers": headers, "body": body});
        packed(json!({ "requests": [one] }).to_string().as_bytes())
    };
    let target = "/tables/$batch";
    assert_eq!(
        post_bytes(&server, target, "gzip", batch("c", 900)).await,
        200
    );
    assert_eq!(
        post_bytes(&server, target, "gzip", batch("d", 2000)).await,
        413
    );
    get(&server, "/tables/soft/c").await.expect(200);
}

/// What a packed body says of how it was packed (RFC 1952, 2.3.1).
#[tokio::test]
async fn the_answer_to_a_batch_is_packed_with_little_work_where_the_request_was() {
    let store = TestStore::new(true, 0);
    let server = builder(store, &TestClock::new()).build().await.unwrap();
    let body = |level: u32| {
        let one = |number: usize| {
            let id = format!("{level}-{number}");
            let headers = json!({ "x-operation-id": id });
            json!({"id": id, "method": "POST", "url": "soft", "headers": headers, "body": {"id": id}})
        };
        let all: Vec<_> = (0..20).map(one).collect();
        json!({ "requests": all }).to_string()
    };
    for (level, flags) in [(1, Some(4)), (6, Some(0)), (0, None)] {
        let request = Request::post("/tables/$batch").header("content-type", "application/json");
        let request = match level {
            // As it is, and asked for so.
            0 => request.body(Bytes::from(body(level))),
            _ => request
                .header("content-encoding", "gzip")
                .header("accept-encoding", "gzip")
                .body(packed_at(Compression::new(level), body(level).as_bytes()).into()),
        };
        let answer = server.handle(request.unwrap()).await;
        assert_eq!(answer.status(), 200);
        let is_packed = answer.headers().contains_key("content-encoding");
        let said = is_packed.then(|| answer.body()[8]);
        assert_eq!(said, flags, "{level}");
    }
}
