//! A table server in memory that behaves as the genuine .NET servers do: that of the Datasync Toolkit (dialect `toolkit`) and
//! the last one of Azure Mobile Apps (dialect `zumo3`).
//!
//! It is a fixture. Its records have typed members, so its answers are never what it was sent; it refuses in the words and with the
//! statuses of the genuine ones, writes their odd next links, and one flavour of it fails after it stored a record whose id is
//! not ASCII. Exchanges that were recorded at the genuine servers are played again in its tests.
//!
//! It can be asked directly, given to the HTTP transport as its `Exchange`, or simulated as a `FarSide`.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use synctable_typed_server::{Flavour, Kind, Mishap, Model, TypedServer};
//!
//! let server = TypedServer::new(Flavour::Toolkit);
//! server.declare("memos", Model::new("Memo").with("done", Kind::Bool));
//! let post = |json: &'static str| {
//!     let request = Request::post("http://typed.test/tables/memos");
//!     request.body(Bytes::from_static(json.as_bytes())).unwrap()
//! };
//! assert_eq!(server.handle(&post(r#"{"id":"a"}"#)).status(), 201);
//!
//! // Everything is done, but a gateway answers.
//! server.mishap(Mishap::AnswerInstead(503));
//! assert_eq!(server.send(&post(r#"{"id":"b"}"#)).unwrap().status(), 503);
//! assert_eq!(server.row("memos", "b").unwrap().body(), r#"{"done":false}"#);
//! ```

mod answer;
mod call;
mod exchange;
mod far;
mod links;
mod mishap;
mod read;
mod rows;
mod server;
mod write;

pub use mishap::{Lost, Mishap};
pub use server::TypedServer;
pub use synctable_testkit::typed::{Flavour, Kind, Model};
