//! How a server that tells changes by itself becomes a transport, shown with one that speaks like `CouchDB`.
//!
//! [`CouchTransport`] is the example: documents are records, `_rev` is the version, `_changes` the feed. [`CouchServer`] is what the tests run it
//! against, over real sockets: a database in memory that does as `CouchDB` does, as far as the transport asks. One thing it does beyond: it may forget
//! deletions ([`CouchServer::compact`]), and answers 410 to positions behind which it did, as Microsoft Graph does to its delta links.

mod document;
mod server;
mod transport;

pub use server::CouchServer;
pub use transport::CouchTransport;
