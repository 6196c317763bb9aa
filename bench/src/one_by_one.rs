//! The reference server without batches, in a process of its own: this program, started once more.

use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use synctable::server::{Limits, TableServer};
use synctable::{Declaration, SqliteStore};
use tokio::net::TcpListener;

use crate::command::Server;
use crate::data::table;

/// The word that has this program be the server.
pub const WORD: &str = "--serve-one-by-one";

pub fn start(folder: &Path) -> Server {
    let program = std::env::current_exe().unwrap();
    Server::start(
        Program::new(program)
            .arg(WORD)
            .arg(folder.join("server.db")),
    )
}

/// Serves until it is killed.
pub fn serve(path: &str) {
    let mut limits = Limits::default();
    limits.batch = 0;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(path).unwrap());
        let server = TableServer::builder(store)
            .table(table(), Declaration::new().with_soft_delete())
            .limits(limits);
        let server = server.build().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!(r#"{{"listening":"{}"}}"#, listener.local_addr().unwrap());
        let never = std::future::pending::<()>();
        server.serve(listener, never).await.unwrap();
    });
}
