//! The HTTP transport and the engine over the next links of the genuine servers and of ours, and over what gateways make of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use synctable_core::query::{RemoteQuery, field};
use synctable_core::sync::SyncContext;
use synctable_core::transport::{Change, ChangeKind, Outcome, Transport, TransportError};
use synctable_core::{Declaration, Record, Schema, TableName, TableSchema};
use synctable_http::{Dialect, Exchange, HttpTransport};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use synctable_testkit::run;
use synctable_typed_server::{Flavour, TypedServer};

/// What stands between the device and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    /// Nothing.
    None,
    /// It drops headers that it does not know, so the server prints whole addresses.
    Forgetful,
    /// It does so, and the server knows itself by another name and scheme than its clients do.
    Inner,
}

impl Gateway {
    const ALL: [Self; 3] = [Self::None, Self::Forgetful, Self::Inner];
}

/// A server behind a gateway.
#[derive(Debug)]
struct Behind {
    server: TypedServer,
    gateway: Gateway,
}

#[async_trait]
impl Exchange for Behind {
    async fn exchange(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        if self.gateway != Gateway::None {
            request.headers_mut().remove("x-zumo-options");
        }
        let mut answer = self.server.exchange(request).await?;
        if self.gateway == Gateway::Inner {
            let body = std::str::from_utf8(answer.body()).unwrap();
            *answer.body_mut() = body
                .replace("http://typed.test", "http://internal:5000")
                .into();
        }
        Ok(answer)
    }
}

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

/// A server with pages of two rows, seven rows of which five are wanted, and the way to it.
fn server(flavour: Flavour, gateway: Gateway) -> (TypedServer, HttpTransport) {
    let schema = Schema::new().with_table(todo(), TableSchema::new());
    let server = TypedServer::of_schema(flavour, &schema);
    server.set_page(2);
    for number in 0..7 {
        let text = if number < 5 { WANTED } else { "other" };
        let json = serde_json::json!({ "text": text }).to_string();
        server.put("todo", &format!("r{number}"), &json).unwrap();
    }
    let dialect = match flavour {
        Flavour::Toolkit => Dialect::Toolkit,
        Flavour::Zumo3 => Dialect::Zumo3,
    };
    let base = match gateway {
        Gateway::Inner => "https://typed.test",
        _ => "http://typed.test",
    };
    let transport = HttpTransport::builder(base)
        .dialect(dialect)
        .exchange(Arc::new(Behind {
            server: server.clone(),
            gateway,
        }))
        .build()
        .unwrap();
    (server, transport)
}

/// What no address may hold as it is, and what means something in one.
const WANTED: &str = "a & 'é' \u{20ac}+#?%/=\"<>";

fn wanted() -> RemoteQuery {
    RemoteQuery::all().filter(field("text").eq(WANTED))
}

fn cases() -> impl Iterator<Item = (Flavour, Gateway)> {
    let of = |flavour| {
        Gateway::ALL
            .into_iter()
            .map(move |gateway| (flavour, gateway))
    };
    Flavour::ALL.into_iter().flat_map(of)
}

#[test]
fn pages_are_read_to_the_end_over_the_links_of_each_server() {
    run(async {
        for (flavour, gateway) in cases() {
            let (_, transport) = server(flavour, gateway);
            let query = wanted();
            let mut ids = Vec::new();
            let mut cursor = None;
            loop {
                let page = transport.page(&todo(), &query, cursor.as_ref()).await;
                let page = page.unwrap();
                ids.extend(page.records.iter().map(|row| row.id().to_string()));
                assert_eq!(page.last, page.next.is_none(), "{flavour:?} {gateway:?}");
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let expected = ["r0", "r1", "r2", "r3", "r4"];
            assert_eq!(ids, expected, "{flavour:?} {gateway:?}");
        }
    });
}

/// A pull under a name walks by time and id; all that it needs of a link is that there is one.
#[test]
fn pulls_end_over_the_links_of_each_server() {
    run(async {
        for (flavour, gateway) in cases() {
            let (_, transport) = server(flavour, gateway);
            let context = SyncContext::builder(Arc::new(MemoryStore::new()))
                .transport(transport)
                .open()
                .await
                .unwrap();
            let table = context.table::<Record>("todo").unwrap();
            table.pull(wanted(), "wanted").await.unwrap();
            let ids = async || {
                let rows = table.query().order_by("id").await.unwrap();
                let ids = rows.records.iter().map(|row| row.id().to_string());
                ids.collect::<Vec<_>>()
            };
            let expected = ["r0", "r1", "r2", "r3", "r4"];
            assert_eq!(ids().await, expected, "{flavour:?} {gateway:?}");

            let window = RemoteQuery::all().order_by("id").skip(1).top(6);
            let report = table.pull_full(window).await.unwrap();
            assert_eq!(report.fetched, 6, "{flavour:?} {gateway:?}");
            assert_eq!(ids().await.len(), 7, "{flavour:?} {gateway:?}");
        }
    });
}

/// The reference server gives tokens in place of numbers, and paths where it is asked for them.
#[derive(Debug)]
struct Reference(TableServer);

#[async_trait]
impl Exchange for Reference {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        Ok(self.0.handle(request).await)
    }
}

#[test]
fn pulls_end_over_the_links_of_the_reference_server() {
    run(async {
        for dialect in [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3] {
            let small = Declaration::new().with_page_size(2);
            let server = TableServer::builder(Arc::new(MemoryStore::new()))
                .table(todo(), small)
                .host("reference.test".parse().unwrap())
                .build()
                .await
                .unwrap();
            let transport = HttpTransport::builder("http://reference.test")
                .dialect(dialect)
                .exchange(Arc::new(Reference(server)))
                .build()
                .unwrap();
            for number in 0..7 {
                let text = if number < 5 { WANTED } else { "other" };
                let json = serde_json::json!({ "id": format!("r{number}"), "text": text });
                let record = Record::from_json(&json.to_string()).unwrap();
                let change = Change::new(ChangeKind::Insert, record.id().clone());
                let outcome = transport.apply(&todo(), &change.with_record(record)).await;
                assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
            }
            let context = SyncContext::builder(Arc::new(MemoryStore::new()))
                .transport(transport)
                .open()
                .await
                .unwrap();
            let table = context.table::<Record>("todo").unwrap();
            let named = table.pull(wanted(), "wanted").await.unwrap();
            let window = RemoteQuery::all().order_by("text").skip(1).top(5);
            let window = table.pull_full(window).await.unwrap();
            assert_eq!((named.fetched, window.fetched), (5, 5), "{dialect}");
        }
    });
}
