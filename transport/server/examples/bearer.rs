//! A server whose users see records of their own only, told apart by bearer tokens.
//!
//!     cargo run -p synctable-server --example bearer
//!
//! Asks its server in the process, as two users and as nobody, and prints the answers.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use synctable_core::query::field;
use synctable_core::{TableName, TableSchema};
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Action, Grant, Refusal, TableServer};

/// Who has which token. A real one checks a signature, or asks who gave the token out.
#[derive(Debug)]
struct Tokens(HashMap<String, String>);

#[async_trait]
impl Access for Tokens {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let token = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
        let user = self.0.get(token).ok_or(Refusal::Unauthenticated)?;
        if user == "guest" && request.action != Action::Read {
            return Err(Refusal::Forbidden);
        }
        // What is stored gets its owner here, whatever the client says, and only what is the user's is shown.
        Ok(Grant::all()
            .for_user(user)
            .only(field("owner").eq(user))
            .with_member("owner", user.as_str()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let users = [("t1", "ann"), ("t2", "eve"), ("t3", "guest")];
    let tokens = users.map(|(token, user)| (token.to_owned(), user.to_owned()));
    let server = TableServer::builder(Arc::new(MemoryStore::new()))
        .table(TableName::new("notes")?, TableSchema::new())
        .access(Arc::new(Tokens(tokens.into())))
        .build()
        .await?;
    for (token, method, target, body) in [
        (
            "t1",
            "POST",
            "/tables/notes",
            r#"{"id":"a","text":"Ann's"}"#,
        ),
        ("t1", "GET", "/tables/notes", ""),
        ("t2", "GET", "/tables/notes", ""),
        ("t2", "GET", "/tables/notes/a", ""),
        (
            "t2",
            "POST",
            "/tables/notes",
            r#"{"id":"a","text":"Eve's"}"#,
        ),
        ("t3", "POST", "/tables/notes", r#"{"text":"a guest's"}"#),
        ("??", "GET", "/tables/notes", ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Bytes::from_static(body.as_bytes()))?;
        let answer = server.handle(request).await;
        let text = String::from_utf8_lossy(answer.body());
        println!("{token} {method} {target}: {} {text}", answer.status());
    }
    Ok(())
}
