//! The SQLite store of synctable: one file, one real SQL table per sync table.
//!
//! Open one with [`SqliteStore::open`]. The file can be read by any SQLite tool: a sync table is an SQL
//! table of the same name with a column for each declared field. Times are 100 ns ticks since 1970, dates are
//! days since 1970, words of an enum are their position in its list; `__json` keeps the members that have no column.
//!
//! [`SqliteKv`] is another kind of file, with bytes only: encrypted stores are built on it.

mod backup;
mod catalogue;
mod checks;
mod error;
mod explain;
mod follow;
mod gauge;
mod kv;
mod layout;
mod lock;
mod log;
mod only_read;
mod open;
mod place;
mod pool;
mod queue;
mod read;
mod rows;
mod scan;
mod sql;
mod store;
mod upgrade;
mod writer;
mod writes;

pub use kv::{SqliteKv, SqliteKvBuilder};
pub use store::{SqliteBuilder, SqliteStore};
