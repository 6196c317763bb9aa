//! A gateway in front of a server: it passes requests on, answers them itself, or cuts the connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::kit::Server;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Pass,
    /// An answer of the gateway: its status, and a body in JSON.
    Answer(u16, &'static str),
    /// The connection ends without an answer, and the server never hears of it.
    Cut,
}

/// It ends with the test process.
#[derive(Debug)]
pub(crate) struct Gate {
    pub url: String,
}

impl Gate {
    /// `fate` sees each request as text: its head and its body. It may wait.
    pub(crate) fn new(
        server: &Server,
        fate: impl Fn(&str) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let address = server.url().replace("http://", "");
        let fate = Arc::new(fate);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (fate, address) = (Arc::clone(&fate), address.clone());
                thread::spawn(move || serve(client.unwrap(), &*fate, &address));
            }
        });
        Self { url }
    }
}

fn serve(mut client: TcpStream, fate: &dyn Fn(&str) -> Fate, address: &str) {
    let Some(request) = request(&mut client) else {
        return;
    };
    let answer = match fate(&request) {
        Fate::Pass => passed(&request, address),
        Fate::Answer(status, body) => {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .into_bytes()
        }
        Fate::Cut => Vec::new(),
    };
    // The command may have been killed meanwhile.
    let _ = client.write_all(&answer);
    let _ = client.shutdown(Shutdown::Both);
}

/// The head and the body; `None` for a connection that is closed unused.
fn request(client: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(String::from_utf8(bytes).unwrap())
}

fn passed(request: &str, address: &str) -> Vec<u8> {
    let mut server = TcpStream::connect(address).unwrap();
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    answer
}
