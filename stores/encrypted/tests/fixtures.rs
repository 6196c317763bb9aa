//! Stores that each released format left: they open for ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod dump;

use std::path::{Path, PathBuf};

use synctable_encrypted::{Argon2Params, RawKey, Sealed, SlotInfo, SlotKind};
use synctable_kv::{KvBackend, KvReadExt};
use synctable_memory::MemoryBackend;

const RAW: &str = "raw:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const WORDS: &str = "passphrase:Gr\u{fc}\u{df}e";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
}

#[test]
fn a_store_of_format_1_opens_and_goes_on() {
    // What the store has to hold, in a store of today.
    let engine = MemoryBackend::new();
    let today = Sealed::builder(engine)
        .create(true)
        .raw_key(RawKey::random().unwrap())
        .open()
        .unwrap();
    dump::fill(&today, 12);
    let expected = dump::everything(&today);
    assert_eq!(expected.len(), 25);

    for secret in [RAW, WORDS] {
        let engine = dump::read(&path("store-v1.dump"));
        let sealed = dump::open(&engine, secret);
        // It was 2; bringing it forward is a write.
        assert_eq!(sealed.counter().unwrap(), 3);
        let kinds: Vec<_> = sealed.slots().iter().map(SlotInfo::kind).collect();
        assert_eq!(
            kinds,
            [SlotKind::RawKey, SlotKind::Passphrase(Argon2Params::LEAST)]
        );
        assert_eq!(dump::everything(&sealed), expected);
        let snapshot = sealed.snapshot().unwrap();
        for (key, value) in &expected {
            assert_eq!(snapshot.copy_of(key).unwrap().as_ref(), Some(value));
        }
        drop(snapshot);
        assert!(sealed.verify(Some(3)).unwrap().is_sound());
        dump::fill(&sealed, 20);
        sealed.rotate(&dump::secret(secret), |_| {}).unwrap();
        assert!(
            dump::open(&engine, secret)
                .verify(Some(6))
                .unwrap()
                .is_sound()
        );
    }
}

/// Made the fixture, and is there to make that of another format; a fixture is never made again.
#[test]
#[ignore = "writes a fixture"]
fn write_the_fixture() {
    let path = path("store-v1.dump");
    assert!(!path.exists(), "a fixture stays as it is");
    let engine = MemoryBackend::new();
    let builder = Sealed::builder(engine.clone()).secret(dump::secret(RAW));
    let sealed = builder.equality_indexes(true).open().unwrap();
    let (known, new) = (dump::secret(RAW), dump::secret(WORDS));
    sealed.add_key(&known, &new, &Argon2Params::LEAST).unwrap();
    dump::fill(&sealed, 12);
    dump::write(&path, &dump::everything(&engine));
}
