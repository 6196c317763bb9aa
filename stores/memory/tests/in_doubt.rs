//! A key-value store goes on where its engine does not know what came of a commit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_kv::{KvBackend, KvStore};
use synctable_memory::MemoryBackend;
use synctable_testkit::doubt::{Doubting, commits_in_doubt_are_settled};

fn run(number: u32, engine: impl Fn() -> Doubting) {
    synctable_testkit::run(commits_in_doubt_are_settled(number, engine, &|engine| {
        KvStore::open(Arc::new(engine) as Arc<dyn KvBackend>)
    }));
}

#[test]
fn commits_in_doubt_are_settled_by_the_next_write() {
    run(1_500, || Doubting::new(MemoryBackend::new()));
}

#[test]
fn so_are_those_of_an_engine_with_short_keys() {
    run(500, || {
        Doubting::new(MemoryBackend::new()).with_longest_key(64)
    });
}
