//! The sled store of synctable, for applications that use [sled](https://docs.rs/sled/0.34.7) already: one folder.
//!
//! Open one with [`SledStore::open`]. Choose another store for something new, best `synctable-redb`, which is Rust alone,
//! too: the last release of sled in this line is of 2021, its authors call it beta, and reports of stores that do not
//! open again have no answer: damage after an abrupt stop
//! ([#1533](https://github.com/spacejam/sled/issues/1533)), a page that was not initialised
//! ([#1387](https://github.com/spacejam/sled/issues/1387)). Two crates that it needs, `fxhash` and `instant`, have no
//! maintainers any more ([RUSTSEC-2025-0057](https://rustsec.org/advisories/RUSTSEC-2025-0057),
//! [RUSTSEC-2024-0384](https://rustsec.org/advisories/RUSTSEC-2024-0384)).
//!
//! What sled alone does not do, this crate adds:
//! - `flush` of sled 0.34 does not reach the disk on Linux, so a power cut loses what was flushed. A commit here also syncs
//!   sled's log file, and the files in which it keeps large values.
//! - sled keeps a batch in its memory until it is flushed, so every commit is, also one that need not be durable at once.
//! - sled has no snapshots, so reads and writes wait for each other.
//! - A snapshot file that sled had half written when its process ended keeps it from opening
//!   ([#1527](https://github.com/spacejam/sled/issues/1527)); it is removed first.
//! - After a write that failed sled may wait for it for ever, or bring half of it to the disk when it ends. Nothing more is written
//!   then, and sled is not ended: only another process can open the folder again.
//! - A folder without the mark of this crate is refused before sled changes anything in it.

mod backend;
mod durable;
mod error;
mod open;
mod store;

pub use backend::SledBackend;
pub use open::SledBuilder;
pub use store::SledStore;
