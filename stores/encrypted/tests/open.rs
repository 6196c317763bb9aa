//! Opening: each thing that is wrong has an error of its own, and nothing is changed by it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use std::sync::Arc;

use engines::{builder, key};
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_encrypted::{
    Argon2Params, KeyProvider, Passphrase, RawKey, Sealed, Secret, SlotInfo,
};
use synctable_kv::{KvBackend, KvBatch, KvReadExt, KvStore};
use synctable_memory::MemoryBackend;

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    let error = result.expect_err("it is refused");
    let text = error.to_string();
    assert!(
        !text.contains(char::is_control) && !text.ends_with('.'),
        "{text}"
    );
    error.kind()
}

fn other_key() -> RawKey {
    RawKey::from_bytes([0x11; 32])
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.into()).unwrap().accept_weak()
}

/// The cheapest that is allowed.
fn cheap() -> Argon2Params {
    Argon2Params::new(19_456, 2, 1).unwrap()
}

#[test]
fn five_things_that_are_wrong_have_five_errors() {
    let sealed = MemoryBackend::new();
    builder(sealed.clone()).open().unwrap();
    let plain = MemoryBackend::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = KvStore::open(plain.clone()).unwrap();
    runtime
        .block_on(
            store.define(
                &Schema::new().with_table(TableName::new("t").unwrap(), TableSchema::new()),
            ),
        )
        .unwrap();
    let tampered = MemoryBackend::new();
    builder(tampered.clone()).open().unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.delete(vec![0, 1]);
    batch.write_to(&tampered).unwrap();
    let newer = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(vec![0], b"synctable sealed \x03\x01\x00".to_vec());
    batch.write_to(&newer).unwrap();
    let foreign = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(b"anything".to_vec(), Vec::new());
    batch.write_to(&foreign).unwrap();

    assert_eq!(
        kind(Sealed::builder(sealed.clone()).raw_key(other_key()).open()),
        StoreErrorKind::WrongKey
    );
    assert_eq!(
        kind(
            Sealed::builder(sealed.clone())
                .passphrase(passphrase("x"))
                .open()
        ),
        StoreErrorKind::WrongKey
    );
    assert_eq!(kind(builder(tampered).open()), StoreErrorKind::Tampered);
    assert_eq!(
        kind(KvStore::open(sealed.clone())),
        StoreErrorKind::KeyNeeded
    );
    assert_eq!(
        kind(Sealed::builder(sealed).open()),
        StoreErrorKind::KeyNeeded
    );
    assert_eq!(kind(builder(plain).open()), StoreErrorKind::NotEncrypted);
    assert_eq!(kind(builder(newer).open()), StoreErrorKind::FormatTooNew);
    assert_eq!(kind(builder(foreign).open()), StoreErrorKind::NotAStore);
    assert_eq!(
        kind(builder(MemoryBackend::new()).create(false).open()),
        StoreErrorKind::Io
    );
}

#[derive(Debug)]
struct KeyChain;

impl KeyProvider for KeyChain {
    fn key(&self) -> Result<RawKey, StoreError> {
        Ok(key())
    }
}

#[test]
fn keys_come_and_go_and_records_stay() {
    let engine = MemoryBackend::new();
    let sealed = builder(engine.clone()).open().unwrap();
    let store = KvStore::open(sealed.clone()).unwrap();
    let table = TableName::new("t").unwrap();
    let record = Record::from_json(r#"{"id":"a","n":1}"#).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        store
            .define(&Schema::new().with_table(table.clone(), TableSchema::new()))
            .await
            .unwrap();
        store
            .commit(WriteBatch::new().put(&table, record.clone()))
            .await
            .unwrap();
    });
    let opens = |secret: Secret| {
        let sealed = Sealed::builder(engine.clone())
            .create(true)
            .secret(secret)
            .create(false)
            .open()?;
        let store = KvStore::open(sealed)?;
        let found = runtime.block_on(store.get_one(&table, record.id()))?;
        assert_eq!(found.as_ref(), Some(&record));
        Ok::<_, StoreError>(())
    };
    let phrase = || Secret::Passphrase(passphrase("correct horse"));
    opens(Secret::Provider(Arc::new(KeyChain))).unwrap();
    sealed
        .add_key(&Secret::Raw(key()), &phrase(), &cheap())
        .unwrap();
    assert_eq!(sealed.slots().len(), 2);
    opens(phrase()).unwrap();
    sealed
        .rekey(&Secret::Raw(key()), &Secret::Raw(other_key()), &cheap())
        .unwrap();
    assert_eq!(kind(opens(Secret::Raw(key()))), StoreErrorKind::WrongKey);
    opens(Secret::Raw(other_key())).unwrap();
    opens(phrase()).unwrap();
    assert_eq!(
        kind(sealed.rekey(&Secret::Raw(key()), &phrase(), &cheap())),
        StoreErrorKind::WrongKey
    );
    let numbers: Vec<usize> = sealed.slots().iter().map(SlotInfo::number).collect();
    sealed.remove_key(numbers[0]).unwrap();
    assert_eq!(
        kind(opens(Secret::Raw(other_key()))),
        StoreErrorKind::WrongKey
    );
    opens(phrase()).unwrap();
    assert_eq!(
        kind(sealed.remove_key(numbers[1])),
        StoreErrorKind::Unsupported
    );
    assert!(sealed.verify(None).unwrap().is_sound());
}

#[test]
fn no_store_is_given_a_weak_passphrase_unless_that_was_said() {
    let weak = || Passphrase::new("correct horse".into()).unwrap();
    let strong = || Secret::Passphrase(passphrase("velvet anchor plinth morose quill"));
    let made = |secret: Secret| {
        let engine = MemoryBackend::new();
        let builder = Sealed::builder(engine.clone()).secret(secret);
        let made = builder.kdf(cheap()).create(true).open();
        (engine, made)
    };
    let (engine, refused) = made(Secret::Passphrase(weak()));
    assert_eq!(kind(refused), StoreErrorKind::WeakPassphrase);
    assert!(engine.snapshot().unwrap().copy_of(&[0]).unwrap().is_none());
    let (engine, sealed) = made(strong());
    let sealed = sealed.unwrap();
    for changed in [
        sealed.add_key(&strong(), &Secret::Passphrase(weak()), &cheap()),
        sealed.rekey(&strong(), &Secret::Passphrase(weak()), &cheap()),
    ] {
        assert_eq!(kind(changed), StoreErrorKind::WeakPassphrase);
    }
    let said = Secret::Passphrase(weak().accept_weak());
    sealed.rekey(&strong(), &said, &cheap()).unwrap();
    // What opens a store is not judged.
    Sealed::builder(engine).passphrase(weak()).open().unwrap();
}

#[test]
fn nothing_secret_is_in_debug_texts() {
    let sealed = builder(MemoryBackend::new()).open().unwrap();
    let shown = format!(
        "{sealed:?} {:?} {:?}",
        sealed.snapshot().unwrap(),
        builder(MemoryBackend::new())
    );
    for secret in ["5a5a", "90, 90", "ZZZZ"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn no_store_is_made_unless_that_was_allowed() {
    let engine = MemoryBackend::new();
    let opened = Sealed::builder(engine.clone()).raw_key(other_key()).open();
    assert_eq!(kind(opened), StoreErrorKind::Io);
    let snapshot = engine.snapshot().unwrap();
    assert!(snapshot.scan(&[]..&[255], 1).unwrap().is_empty());
}
