//! Our server's answers beside those of a genuine one, over two stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use synctable::query::odata::percent_encode;
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::testkit::base::{ToolkitAnswer, toolkit_answers, toolkit_rows, toolkit_schema};
use synctable::{Declaration, MemoryStore, SqliteStore, TableName};

async fn send(server: &TableServer, request: Request<Bytes>) -> (StatusCode, Value) {
    let response = server.handle(request).await;
    let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    (response.status(), body)
}

#[tokio::test]
async fn the_server_answers_filters_as_the_toolkit_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(folder.path().join("server.db")).unwrap();
    let stores: [Arc<dyn LocalStore>; 2] = [Arc::new(MemoryStore::new()), Arc::new(file)];
    for store in stores {
        let schema = Declaration::from(toolkit_schema()).with_page_size(200);
        let name = TableName::new("answers").unwrap();
        let server = TableServer::builder(store).table(name, schema);
        let server = server.build().await.unwrap();
        for row in toolkit_rows() {
            let request = Request::post("/tables/answers")
                .header("host", "localhost")
                .header("content-type", "application/json")
                .body(Bytes::from(row.to_json()))
                .unwrap();
            assert_eq!(send(&server, request).await.0, StatusCode::CREATED);
        }
        let mut wrong = Vec::new();
        for ToolkitAnswer {
            filter,
            ids,
            why_not,
        } in toolkit_answers()
        {
            let target = format!(
                "/tables/answers?$filter={}&$orderby=id",
                percent_encode(&filter)
            );
            let request = Request::get(target).header("host", "localhost");
            let (status, page) = send(&server, request.body(Bytes::new()).unwrap()).await;
            let found = match status {
                StatusCode::OK => Some(page["items"].as_array().unwrap().iter()),
                StatusCode::BAD_REQUEST => None,
                other => panic!("{filter}: {other} {page}"),
            };
            let found: Option<Vec<&Value>> =
                found.map(|items| items.map(|item| &item["id"]).collect());
            if (json!(found) == json!(ids)) == why_not.is_some() {
                wrong.push(format!(
                    "{filter}: here {found:?}, there {ids:?}, {why_not:?}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
