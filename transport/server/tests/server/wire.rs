//! A server on a socket, and a client that writes what it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;
use synctable_server::{Limits, TableServerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{TestClock, builder};

/// So short that a test can wait for it.
pub(crate) const SHORT: Duration = Duration::from_millis(30);

/// So long that a test which waits for it does not end.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<io::Result<()>>,
}

pub(crate) async fn serve(store: Arc<dyn LocalStore>, limits: Limits) -> Running {
    serve_with(builder(store, &TestClock::new()).limits(limits)).await
}

pub(crate) async fn serve_with(builder: TableServerBuilder) -> Running {
    let server = builder.build().await.unwrap();
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

pub(crate) async fn serve_memory(limits: Limits) -> Running {
    serve(Arc::new(MemoryStore::new()), limits).await
}

impl Running {
    pub(crate) async fn connect(&self) -> Client {
        Client(BufReader::new(
            TcpStream::connect(self.address).await.unwrap(),
        ))
    }

    /// A client whose side of the connection holds few bytes that it has not read.
    pub(crate) async fn connect_narrowly(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        Client(BufReader::new(socket.connect(self.address).await.unwrap()))
    }
}

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn request(&mut self, method: &str, target: &str, body: &str) {
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    }

    /// The head of the next answer; its body must be read after it.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// The status and body of the next answer.
    pub(crate) async fn answer(&mut self) -> (u16, String) {
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
    pub(crate) async fn end(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end, too: the server closed with bytes unread.
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}
