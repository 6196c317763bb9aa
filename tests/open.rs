//! Stores that are opened by URL: what each kind of store, key and URL comes to.
#![cfg(feature = "full")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::fs;

use synctable::encrypted::{Passphrase, RawKey};
use synctable::store::{LocalStoreExt, StoreErrorKind, WriteBatch};
use synctable::{
    Missing, Record, Schema, StoreKey, StoreKind, StoreUrl, TableName, TableSchema, open_store,
};

fn key(byte: u8) -> StoreKey {
    StoreKey::Raw(RawKey::from_bytes([byte; 32]))
}

#[test]
fn urls_are_read_and_written() {
    for (text, kind, encrypted) in [
        ("memory:", StoreKind::Memory, false),
        ("sqlite:a.db", StoreKind::Sqlite, false),
        ("redb:/a b/c.redb", StoreKind::Redb, false),
        ("sled:a:b", StoreKind::Sled, false),
        ("encrypted+sqlite:a.db", StoreKind::Sqlite, true),
        ("encrypted+redb:a", StoreKind::Redb, true),
        ("encrypted+sled:a", StoreKind::Sled, true),
    ] {
        let url: StoreUrl = text.parse().unwrap();
        assert_eq!((url.kind(), url.is_encrypted()), (kind, encrypted));
        assert_eq!(url.to_string(), text);
    }
    for text in [
        "",
        "a.db",
        ":a",
        "sqlite:",
        "SQLITE:a",
        "memory:a",
        "encrypted+:a",
        "encrypted+memory:",
        "encrypted+encrypted+redb:a",
        "redb+encrypted:a",
        "fjall:a",
    ] {
        let error = text.parse::<StoreUrl>().unwrap_err().to_string();
        assert!(error.contains("write"), "{text}: {error}");
        let refused = open_store(text, None).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unsupported, "{text}");
    }
}

#[tokio::test]
async fn each_store_opens_as_what_it_is_and_as_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let table = TableName::new("todo").unwrap();
    let row = Record::from_json(r#"{"id":"a"}"#).unwrap();
    for engine in ["sqlite", "redb", "sled"] {
        for encrypted in [false, true] {
            let path = folder.path().join(format!("{engine}-{encrypted}"));
            let plain = format!("{engine}:{}", path.display());
            let sealed = format!("encrypted+{plain}");
            let url: StoreUrl = if encrypted { &sealed } else { &plain }.parse().unwrap();
            let own = || encrypted.then(|| key(1));

            let missing = url.open(own(), Missing::Refuse).unwrap_err();
            assert_eq!(missing.kind(), StoreErrorKind::Io, "{url}: {missing}");
            assert!(!path.exists(), "{url}");

            let opened = url.open(own(), Missing::Make).unwrap();
            assert_eq!(opened.sealed.is_some(), encrypted);
            let schema = Schema::new().with_table(table.clone(), TableSchema::new());
            opened.store.define(&schema).await.unwrap();
            let batch = WriteBatch::new().put(&table, row.clone());
            opened.store.commit(batch).await.unwrap();
            opened.store.close().await.unwrap();
            drop(opened);

            let kind = |url: &str, key| open_store(url, key).unwrap_err().kind();
            // A file of SQLite tells tables from entries before anything is read.
            let other = match (engine, encrypted) {
                ("sqlite", _) => StoreErrorKind::NotAStore,
                (_, true) => StoreErrorKind::KeyNeeded,
                (_, false) => StoreErrorKind::NotEncrypted,
            };
            if encrypted {
                assert_eq!(kind(&plain, None), other, "{plain}");
                assert_eq!(kind(&sealed, None), StoreErrorKind::KeyNeeded);
                assert_eq!(kind(&sealed, Some(key(2))), StoreErrorKind::WrongKey);
                let phrase = Passphrase::new("no".to_owned()).unwrap();
                let phrase = Some(StoreKey::Passphrase(phrase));
                assert_eq!(kind(&sealed, phrase), StoreErrorKind::WrongKey);
            } else {
                assert_eq!(kind(&sealed, Some(key(1))), other, "{sealed}");
                assert_eq!(kind(&plain, Some(key(1))), StoreErrorKind::NotEncrypted);
            }
            for engine in ["sqlite", "redb", "sled"] {
                if engine != url.kind().as_str() {
                    let stranger = format!("{engine}:{}", path.display());
                    open_store(&stranger, None).unwrap_err();
                }
            }

            let store = url.open(own(), Missing::Refuse).unwrap().store;
            let found = store.get_one(&table, row.id()).await.unwrap();
            assert_eq!(found.as_ref(), Some(&row), "{url}");
        }
    }
    let made = fs::read_dir(folder.path()).unwrap().count();
    assert!(made >= 6, "{made}");
}
