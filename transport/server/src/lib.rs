//! The reference table server: tables over HTTP, kept in any [`LocalStore`](synctable_core::store::LocalStore).
//!
//! A [`TableServer`] offers `/tables/{table}` and `/tables/{table}/{id}` in three dialects, which it tells apart by the
//! header or parameter `ZUMO-API-VERSION`: that of the Datasync Toolkit (where there is none), and those of Azure Mobile
//! Apps with protocol versions 2.0 and 3.0. It knows queries in OData, conditional requests by version and time, soft
//! delete, and pages that go on behind the last record *by value*. On top of that it promises what a client can rely on
//! and other servers do not give:
//!
//! - `updatedAt` grows in the order of commits within a table, whatever the clock does; changes that share a commit share it, and are
//!   ordered by `id` (announced as `Synctable-Ordered: updatedAt,id`);
//! - several changes may come in one `POST` to `/tables/$batch` (announced as `Synctable-Batch`, with the most changes and bytes);
//! - a change sent with `X-Operation-Id` takes effect once: a repeat within 30 days, or as long as is set, is answered with
//!   the outcome it had (announced as `Synctable-Operation-Ids: 1`, and `Synctable-Operation-Ids-Kept` in seconds);
//! - where it does not know itself whether a change was done, it says so with 504. With 503 the change was not done.
//!
//! [`dialects`] says what is the same in which dialect and what differs on purpose.
//! It lets in who asks for a name of this machine; [`host`](TableServerBuilder::host) and [`allow_origin`](TableServerBuilder::allow_origin) say
//! under which other names, and from which pages, it may be asked.
//! An [`Access`] hook says who may read and write which records; [`Limits`] bound what a client can use up.

mod access;
mod answers;
mod batch;
mod body;
mod brief;
mod builder;
mod change;
mod coding;
mod conditional;
mod dialect;
mod door;
mod effect;
mod error;
mod etag;
mod fill;
mod gather;
mod handler;
mod identity;
mod judge;
mod limits;
mod links;
mod merge;
mod names;
mod operations;
mod parameters;
mod peer;
mod read;
mod respond;
mod retention;
mod scans;
mod sequence;
mod server;
mod stall;
mod tables;
mod tls;
mod token;
mod tombstones;
mod turns;
mod unique;
mod unit;
mod write;

pub use access::{Access, AccessRequest, Action, Grant, Refusal};
pub use builder::TableServerBuilder;
pub use door::{HostName, HostNameError, Origin, OriginError};
pub use limits::Limits;
pub use peer::Peer;
pub use server::TableServer;
pub use tls::{Tls, TlsError};
pub use token::{BearerToken, BearerTokenError};

#[doc = include_str!("../DIALECTS.md")]
pub mod dialects {}
