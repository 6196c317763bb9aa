//! Updates over sockets: of a large record only what changed goes out (T2).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use synctable::MemoryStore;
use synctable::http::{Dialect, HttpTransport};
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::SyncContext;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of the member that does not change.
const LARGE: usize = 100_000;
/// More than the head and the part of one request.
const FEW: usize = 2_000;

/// A text of which nothing much is saved by packing.
fn large() -> String {
    let mut state = 1_u64;
    let letters = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'0' + u8::try_from(state >> 58).unwrap())
    });
    let letters = letters.map(|letter| if letter == '\\' { '-' } else { letter });
    letters.take(LARGE).collect()
}

/// A task that ends with the test.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve() -> (SocketAddr, Task) {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn LocalStore>;
    let server = TableServer::builder(store).any_table(true).build();
    let server = server.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let never = std::future::pending::<()>();
        server.serve(listener, never).await.unwrap();
    });
    (address, Task(task))
}

/// A way to the server on which the bytes that go there are counted.
async fn counted(server: SocketAddr) -> (String, Arc<AtomicUsize>, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let task = tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let server = TcpStream::connect(server).await.unwrap();
            let (mut from_server, mut to_server) = server.into_split();
            let count = Arc::clone(&count);
            tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                    // Counted before it is passed on, so that an answer finds it counted.
                    count.fetch_add(length, Ordering::SeqCst);
                    if to_server.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, sent, Task(task))
}

#[tokio::test]
async fn t2_one_member_of_a_large_record_costs_few_bytes() {
    for dialect in [Dialect::Toolkit, Dialect::Zumo3, Dialect::Zumo2] {
        let (address, _server) = serve().await;
        let (url, sent, _way) = counted(address).await;
        let device = async || {
            let http = HttpTransport::builder(&url).dialect(dialect).build();
            let builder = SyncContext::builder(Arc::new(MemoryStore::new()));
            builder.transport(http.unwrap()).open().await.unwrap()
        };
        let (here, there) = (device().await, device().await);
        let notes = here.table::<Value>("notes").unwrap();
        let note = json!({"id": "a", "text": large(), "done": false});
        notes.insert(&note).await.unwrap();
        here.push().await.unwrap();
        let first = sent.swap(0, Ordering::SeqCst);
        // Large bodies go packed.
        assert!(first > LARGE / 2, "{dialect}: {first}");

        notes.update("a", &json!({"done": true})).await.unwrap();
        here.push().await.unwrap();
        let update = sent.swap(0, Ordering::SeqCst);
        assert!(update < FEW, "{dialect}: {update} bytes were sent");

        // A member that is taken away takes the whole, but for version 2, which knows no such thing.
        let short = json!({"id": "a", "text": large()});
        notes.replace(&short).await.unwrap();
        here.push().await.unwrap();
        let whole = sent.swap(0, Ordering::SeqCst);
        assert_eq!(
            whole > LARGE / 2,
            dialect != Dialect::Zumo2,
            "{dialect}: {whole}"
        );

        let theirs = there.table::<Value>("notes").unwrap();
        theirs.pull(Query::all(), "all").await.unwrap();
        let row = theirs.get("a").await.unwrap().unwrap();
        assert_eq!(row["text"].as_str().map(str::len), Some(LARGE));
        assert!(row["done"].is_null(), "{dialect}: {}", row["done"]);
    }
}
