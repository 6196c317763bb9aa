//! Processes of node, and this project's server on a socket.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use synctable_core::{Declaration, FieldType, TableName};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const TABLE: &str = "/tables/todoitem";

/// Where the packages are: beside this crate, or where `SYNCTABLE_PEERS` says.
pub(crate) fn packages() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("SYNCTABLE_PEERS").map_or(here.to_owned(), PathBuf::from);
    let packages = folder.join("node_modules");
    let node = std::process::Command::new("node").arg("--version").output();
    let has = |name| packages.join(name).is_dir();
    let missing = match node {
        Err(error) => format!("node cannot be run: {error}"),
        Ok(_) if !(has("azure-mobile-apps-client") && has("azure-mobile-apps")) => {
            format!("{} lacks packages", packages.display())
        }
        Ok(_) => return Some(packages),
    };
    eprintln!("skipped: {missing}; run tests/interop/setup.sh");
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("js").join(name)
}

fn node(packages: &Path, name: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script(name))
        .env("NODE_PATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The genuine server in a process of its own, its data in memory.
pub(crate) struct NodeServer {
    pub(crate) url: String,
    _process: Child,
}

impl NodeServer {
    /// Starts it; `None` where its packages are missing.
    pub(crate) async fn start() -> Option<Self> {
        let mut process = node(&packages()?, "server.js")
            .arg(":memory:")
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap();
        let port: u16 = port.expect("the server starts").trim().parse().unwrap();
        Some(Self {
            url: format!("http://127.0.0.1:{port}"),
            _process: process,
        })
    }
}

/// The server on a socket of its own.
pub(crate) struct OurServer {
    tables: TableServer,
    pub(crate) url: String,
}

impl OurServer {
    pub(crate) async fn start() -> Self {
        let rows = Declaration::new()
            .with_soft_delete()
            .with_field("text", FieldType::String)
            .with_field("complete", FieldType::Boolean);
        let tables = TableServer::builder(Arc::new(MemoryStore::new()))
            .table(TableName::new("todoitem").unwrap(), rows)
            .build()
            .await
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tables.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending::<()>()).await });
        Self { tables, url }
    }

    pub(crate) async fn insert(&self, row: Value) {
        let request = Request::post(TABLE).header("content-type", "application/json");
        let request = request.body(Bytes::from(row.to_string())).unwrap();
        assert_eq!(self.tables.handle(request).await.status(), 201);
    }

    /// The texts of the rows that are not deleted, by id.
    pub(crate) async fn rows(&self) -> BTreeMap<String, Value> {
        let request = Request::get(format!("{TABLE}?$top=1000&zumo-api-version=2.0.0"));
        let answer = self
            .tables
            .handle(request.body(Bytes::new()).unwrap())
            .await;
        texts(&serde_json::from_slice(answer.body()).unwrap())
    }
}

pub(crate) fn texts(rows: &Value) -> BTreeMap<String, Value> {
    let rows = rows.as_array().expect("rows");
    rows.iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["text"].clone()))
        .collect()
}

/// A process with the genuine client.
pub(crate) struct JsDevice {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl JsDevice {
    pub(crate) fn start(url: &str, packages: &Path, store: &Path) -> Self {
        let mut process = node(packages, "device.js")
            .args([url, store.to_str().unwrap()])
            .spawn()
            .unwrap();
        Self {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    /// The whole answer to a command.
    pub(crate) async fn ask(&mut self, command: Value) -> Value {
        let line = format!("{command}\n");
        self.commands.write_all(line.as_bytes()).await.unwrap();
        let answer = self.answers.next_line().await.unwrap();
        let answer = answer.unwrap_or_else(|| panic!("{command}: the device is gone"));
        serde_json::from_str(&answer).unwrap()
    }

    /// The value that a command gives.
    #[track_caller]
    pub(crate) fn done(&mut self, command: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let mut answer = self.ask(command.clone()).await;
            assert!(
                answer.get("error").is_none(),
                "{place}: {command}: {answer}"
            );
            answer["ok"].take()
        }
    }

    pub(crate) async fn rows(&mut self) -> BTreeMap<String, Value> {
        texts(&self.done(json!(["read"])).await)
    }

    /// Pushes; all operations must be taken.
    pub(crate) async fn push_all(&mut self) {
        let pushed = self.done(json!(["push", "report"])).await;
        assert_eq!(pushed["conflicts"], json!([]));
        assert_eq!(self.done(json!(["pending"])).await, json!([]));
    }
}
