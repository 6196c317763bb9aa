//! The server on sockets: connections, their bounds, and its end. Times are real but tiny, and nothing sleeps:
//! every test waits for what must happen.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;
use synctable_server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{TestClock, TestStore, builder};

/// So short that a test can wait for it.
const SHORT: Duration = Duration::from_millis(30);

/// So long that a test which waits for it does not end.
const LONG: Duration = Duration::from_secs(3600);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

async fn serve(store: Arc<dyn LocalStore>, limits: Limits) -> Running {
    let server = builder(store, &TestClock::new())
        .limits(limits)
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move { server.serve(listener, stopped).await });
    Running {
        address,
        stop,
        task,
    }
}

async fn serve_memory(limits: Limits) -> Running {
    serve(Arc::new(MemoryStore::new()), limits).await
}

impl Running {
    async fn connect(&self) -> Client {
        Client(BufReader::new(
            TcpStream::connect(self.address).await.unwrap(),
        ))
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn request(&mut self, method: &str, target: &str, body: &str) {
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    }

    /// The head of the next answer; its body must be read after it.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// The status and body of the next answer.
    async fn answer(&mut self) -> (u16, String) {
        let head = self.head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Waits for the end of the connection and tells what came before it.
    async fn end(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too: the server closed with bytes unread.
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let running = serve_memory(Limits::default()).await;
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    assert_eq!(client.answer().await.0, 201);
    client.request("GET", "/tables/hard/a", "").await;
    client.request("GET", "/tables/hard/b", "").await;
    client.request("DELETE", "/tables/hard/a", "").await;
    let (status, body) = client.answer().await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"id":"a","version":"#), "{body}");
    assert_eq!(client.answer().await.0, 404);
    assert_eq!(client.answer().await.0, 204);
}

#[tokio::test]
async fn head_tells_the_length_and_sends_no_body() {
    let running = serve_memory(Limits::default()).await;
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    let (_, body) = client.answer().await;
    client.request("HEAD", "/tables/hard/a", "").await;
    let head = client.head().await;
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}"
    );
    client.request("GET", "/tables/hard/a", "").await;
    assert_eq!(client.answer().await, (200, body));
}

#[tokio::test]
async fn stopping_finishes_the_request_in_flight_and_closes_idle_connections() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.header_timeout = LONG;
    limits.drain_timeout = LONG;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut silent = running.connect().await;
    let mut idle = running.connect().await;
    idle.request("GET", "/tables/hard/none", "").await;
    assert_eq!(idle.answer().await.0, 404);
    let mut busy = running.connect().await;
    busy.request("POST", "/tables/hard", r#"{"id":"a"}"#).await;
    store.started.notified().await;

    running.stop.send(()).unwrap();
    assert_eq!(idle.end().await, "");
    assert_eq!(silent.end().await, "");
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "no new connections"
    );
    assert!(!running.task.is_finished(), "a request is in flight");
    store.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(busy.answer().await.0, 201);
    assert_eq!(busy.end().await, "");
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_cuts_what_does_not_finish() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.drain_timeout = SHORT;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut stuck = running.connect().await;
    stuck.request("POST", "/tables/hard", "{}").await;
    store.started.notified().await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    assert_eq!(stuck.end().await, "");
}

#[tokio::test]
async fn a_client_with_slow_headers_is_cut_while_a_good_one_works() {
    let mut limits = Limits::default();
    limits.header_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut slow = running.connect().await;
    slow.send("GET /tables/hard HTTP/1.1\r\nhost: ").await;
    let mut silent = running.connect().await;
    let mut good = running.connect().await;
    good.request("POST", "/tables/hard", r#"{"id":"a"}"#).await;
    assert_eq!(good.answer().await.0, 201);
    assert_eq!(slow.end().await, "");
    assert_eq!(silent.end().await, "");
    let mut good = running.connect().await;
    good.request("GET", "/tables/hard/a", "").await;
    assert_eq!(good.answer().await.0, 200);
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let mut limits = Limits::default();
    limits.body_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut slow = running.connect().await;
    slow.send("POST /tables/hard HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        .await;
    assert_eq!(slow.answer().await.0, 408);
    assert_eq!(slow.end().await, "");
}

#[tokio::test]
async fn a_slow_store_is_answered_with_503() {
    let mut limits = Limits::default();
    limits.handler_timeout = SHORT;
    let running = serve(TestStore::gated(), limits).await;
    let mut client = running.connect().await;
    client.request("POST", "/tables/hard", "{}").await;
    assert_eq!(client.answer().await.0, 503);
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_announced_or_not() {
    let mut limits = Limits::default();
    limits.body = 1000;
    let running = serve_memory(limits).await;
    let mut client = running.connect().await;
    client
        .send("POST /tables/hard HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.0, 413);

    let mut client = running.connect().await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    client
        .send(&format!(
            "POST /tables/hard HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
        ))
        .await;
    assert_eq!(client.answer().await.0, 413);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let mut limits = Limits::default();
    limits.headers = 16 * 1024;
    let running = serve_memory(limits).await;
    let large = format!("x: {}\r\n", "y".repeat(20_000));
    let many = "x: y\r\n".repeat(1000);
    for (headers, status) in [(large, 431), (many, 431), ("x: y\r\n".to_owned(), 404)] {
        let mut client = running.connect().await;
        client
            .send(&format!(
                "GET /tables/hard/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n"
            ))
            .await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn junk_ends_its_own_connection_only() {
    let running = serve_memory(Limits::default()).await;
    for junk in [
        "\0\x01\x02\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /tables/hard HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "POST /tables/hard HTTP/1.1\r\ncontent-length: -1\r\n\r\n{}",
        "POST /tables/hard HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = running.connect().await;
        client.send(junk).await;
        let rest = client.end().await;
        assert!(!rest.contains("HTTP/1.1 20"), "{junk:?}: {rest}");
    }
    let mut good = running.connect().await;
    good.request("GET", "/tables/hard/a", "").await;
    assert_eq!(good.answer().await.0, 404);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_room() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.connections = 1;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut first = running.connect().await;
    first.request("POST", "/tables/hard", "{}").await;
    store.started.notified().await;
    let mut second = running.connect().await;
    second.request("POST", "/tables/soft", "{}").await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    store.gate.as_ref().unwrap().add_permits(2);
    assert_eq!(first.answer().await.0, 201);
    drop(first);
    assert_eq!(second.answer().await.0, 201);
    assert_eq!(store.most_under_way.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let mut limits = Limits::default();
    limits.connections = 1;
    limits.write_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut client = running.connect().await;
    let body = format!(r#"{{"id":"a","text":"{}"}}"#, "x".repeat(1_000_000));
    client.request("POST", "/tables/hard", &body).await;
    assert_eq!(client.answer().await.0, 201);
    // More answers than the buffers of both sides hold.
    for _ in 0..64 {
        client.request("GET", "/tables/hard/a", "").await;
    }
    let mut next = running.connect().await;
    next.request("GET", "/tables/hard/b", "").await;
    assert_eq!(next.answer().await.0, 404);
    drop(client);
}
