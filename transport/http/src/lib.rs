//! HTTP transport for synctable: the way from the sync engine to a table server.
//!
//! [`HttpTransport`] speaks the protocol of the Datasync Toolkit and the two of Azure Mobile Apps (see [`Dialect`]) over
//! HTTP/1.1, plain or over TLS. It trusts nothing it reads: times and sizes are limited, next links give no more than a
//! position, credentials stay on the origin of the base URL, rows that are no records are set aside, and an answer that cannot be read is
//! an error which leaves open whether the change took effect. It sends each request once and says what became of it; what that
//! means, and whether to try again, is for the engine to judge.

mod announced;
mod auth;
mod batch;
mod builder;
mod change;
mod client;
mod connect;
mod dialect;
mod diverted;
mod exchange;
mod header;
mod outcome;
mod packing;
mod page;
mod paging;
mod patience;
mod place;
mod probes;
mod proxy;
mod route;
mod sleep;
mod text;
mod tls;
mod transport;
mod url;
mod user;

pub use auth::{AuthHeader, TokenError, TokenProvider};
pub use builder::{HttpTransportBuilder, is_secret_header};
pub use dialect::{Dialect, UnknownDialect};
pub use exchange::Exchange;
pub use header::{
    BATCH, NOT_TRIED, OPERATION_ID, OPERATION_IDS, OPERATION_IDS_KEPT, OPERATION_UNKNOWN_SINCE,
    ORDERED, PARTIAL_UPDATES, REPEATED, SERVER_ID, UNITS, X_ZUMO_AUTH,
};
pub use sleep::TokioSleep;
pub use transport::HttpTransport;
pub use user::UserToken;
