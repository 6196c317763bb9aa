//! Tables inside of an axum application, below a path of its own.
//!
//!     cargo run -p synctable-server --example axum [PORT]
//!
//! Serves the table `todoitem` at `/api/tables/todoitem` until the process is ended.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use hyper::service::Service;
use synctable_core::{Declaration, FieldType, TableName};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;

    let todos = Declaration::new()
        .with_soft_delete()
        .with_field("text", FieldType::String)
        .with_field("complete", FieldType::Boolean);
    let tables = TableServer::builder(Arc::new(MemoryStore::new()))
        .table(TableName::new("todoitem")?, todos)
        // Links to next pages must have what axum takes off the path.
        .base_url(format!("http://{address}/api"))
        .build()
        .await?;

    // The server is a hyper service; a handler of axum is any function from a request to an answer.
    let tables = any(move |request: Request| tables.call(request));
    let app = Router::new()
        .route("/", get(async || "an application with tables"))
        .nest("/api", Router::new().route("/tables/{*rest}", tables));

    println!("http://{address}/api/tables/todoitem");
    axum::serve(listener, app).await?;
    Ok(())
}
