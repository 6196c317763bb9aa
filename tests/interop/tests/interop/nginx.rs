//! A genuine nginx before the server, which lets no body of more than 64 kB through and answers before it has read the rest.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use synctable_http::Dialect;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ours::Device;
use crate::peers::OurServer;

/// Where packages put it, which is not in the path of everybody.
const PLACES: [&str; 3] = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];

struct Nginx {
    url: String,
    _process: Child,
    folder: TempDir,
}

impl Nginx {
    /// Starts one that passes everything on to this server; `None` where there is no nginx.
    async fn before(server: &OurServer) -> Option<Self> {
        let is_there = |place: &&str| {
            let mut version = std::process::Command::new(place);
            version.arg("-v").stderr(Stdio::null()).status().is_ok()
        };
        let Some(program) = PLACES.into_iter().find(is_there) else {
            eprintln!("skipped: there is no nginx");
            return None;
        };
        loop {
            let folder = TempDir::new().unwrap();
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = port.local_addr().unwrap().port();
            let config = folder.path().join("nginx.conf");
            std::fs::write(&config, settings(folder.path(), port, &server.url)).unwrap();
            let mut process = Command::new(program)
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(&config)
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let is_up = async {
                while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                    .await
                    .is_err()
                {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = is_up => {
                    return Some(Self {
                        url: format!("http://127.0.0.1:{port}"),
                        _process: process,
                        folder,
                    });
                }
                // Somebody else has taken the port meanwhile.
                ended = process.wait() => assert_eq!(ended.unwrap().code(), Some(1)),
            }
        }
    }
}

impl Nginx {
    /// How many bodies it found too large.
    fn refused(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("errors")).unwrap();
        log.matches("client intended to send too large body")
            .count()
    }
}

fn settings(folder: &Path, port: u16, server: &str) -> String {
    let folder = folder.display();
    let mut text = format!(
        "daemon off;
        master_process off;
        pid {folder}/pid;
        error_log {folder}/errors;
        events {{}}
        http {{
            access_log off;
            client_max_body_size 64k;
            server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass {server}; proxy_set_header Host $proxy_host; }}
            }}
        "
    );
    for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        write!(text, "{what}_temp_path {folder}/{what};").unwrap();
    }
    text + "}"
}

/// Text of which nothing is saved by packing.
fn noise(number: usize, length: usize) -> String {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut text = String::new();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:08x}", state >> 32).unwrap();
    }
    text
}

#[tokio::test]
async fn what_nginx_does_not_let_through_goes_in_smaller_batches() {
    const COUNT: usize = 2_000;
    let server = OurServer::start().await;
    let Some(nginx) = Nginx::before(&server).await else {
        return;
    };
    let device = Device::new(&nginx.url, Dialect::default()).await;
    for number in 0..COUNT {
        let row =
            json!({"id": format!("r{number}"), "text": noise(number, 800), "complete": false});
        device.insert(row).await;
    }
    let report = device.push_all().await;
    assert_eq!(report.pushed, COUNT as u64);
    assert!((1..20).contains(&nginx.refused()), "{}", nginx.refused());
    let other = Device::new(&nginx.url, Dialect::default()).await;
    assert_eq!(other.pull().await.added, COUNT as u64);
    assert_eq!(other.rows().await, device.rows().await);
}

#[tokio::test]
async fn a_record_that_nginx_does_not_let_through_waits_and_holds_up_no_other() {
    let server = OurServer::start().await;
    let Some(nginx) = Nginx::before(&server).await else {
        return;
    };
    let device = Device::new(&nginx.url, Dialect::default()).await;
    for (number, length) in [10, 300_000, 10, 10].into_iter().enumerate() {
        let row =
            json!({"id": format!("r{number}"), "text": noise(number, length), "complete": false});
        device.insert(row).await;
    }
    let report = device.push().await.unwrap();
    assert_eq!((report.pushed, report.rejected, report.pending), (3, 1, 1));
    let refused = device.sync.parked().await.unwrap();
    let words = format!("{refused:?}");
    assert!(words.contains("413"), "{words}");
    let rows = server.rows().await;
    assert_eq!(rows.into_keys().collect::<Vec<_>>(), ["r0", "r2", "r3"]);
}
