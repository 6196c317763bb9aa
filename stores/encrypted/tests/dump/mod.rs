//! Stores as plain files: every key and value of the engine, each behind its length.
#![allow(dead_code, reason = "not every test uses all of them")]

use std::path::Path;

use synctable_core::store::Durability;
use synctable_encrypted::{Passphrase, RawKey, Sealed, Secret};
use synctable_kv::{Entry, Key, KvBackend, KvBatch, KvReadExt};
use synctable_memory::MemoryBackend;

/// Everything that an engine or a sealed store holds.
pub(crate) fn everything(backend: &impl KvBackend) -> Vec<Entry> {
    let snapshot = backend.snapshot().unwrap();
    snapshot
        .scan(&[][..]..&[u8::MAX; 64][..], usize::MAX)
        .unwrap()
}

pub(crate) fn write(path: &Path, entries: &[Entry]) {
    let mut bytes = Vec::new();
    for part in entries.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    std::fs::write(path, bytes).unwrap();
}

/// An engine that holds what the file says.
pub(crate) fn read(path: &Path) -> MemoryBackend {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut part = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (part, behind) = behind.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        rest = behind;
        Some(part.to_vec())
    };
    let mut batch = KvBatch::new(Durability::Immediate);
    while let (Some(key), Some(value)) = (part(), part()) {
        batch.put(key, value);
    }
    let backend = MemoryBackend::new();
    batch.write_to(&backend).unwrap();
    backend
}

/// A secret as the second implementation is told it: `raw:` and hex digits, or `passphrase:` and its text.
pub(crate) fn secret(text: &str) -> Secret {
    match text.split_once(':').unwrap() {
        ("raw", digits) => Secret::Raw(RawKey::parse(digits.as_bytes()).unwrap()),
        (_, words) => Secret::Passphrase(Passphrase::new(words.to_owned()).unwrap().accept_weak()),
    }
}

pub(crate) fn open(backend: &MemoryBackend, text: &str) -> Sealed<MemoryBackend> {
    let builder = Sealed::builder(backend.clone())
        .secret(secret(text))
        .create(true);
    builder.create(false).open().unwrap()
}

/// Puts entries of each kind, overwrites some and removes some: what stays is the same in every store.
pub(crate) fn fill(sealed: &Sealed<MemoryBackend>, records: usize) {
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(Key::Format.encode(), b"synctable kv 1".to_vec());
    batch.put(Key::Table("todo").encode(), b"{}".to_vec());
    for number in 0..records {
        let id = &format!("id {number}");
        let value = format!(r#"{{"id":"{id}","title":"{}"}}"#, "x".repeat(number));
        batch.put(
            Key::Record { table: "todo", id }.encode(),
            value.into_bytes(),
        );
        let values = &[0x10, 0x01];
        batch.put(
            Key::Index {
                table: "todo",
                index: "done",
                values,
                id,
            }
            .encode(),
            Vec::new(),
        );
    }
    batch.write_to(sealed).unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(
        Key::Record {
            table: "todo",
            id: "id 0",
        }
        .encode(),
        b"changed".to_vec(),
    );
    batch.delete(
        Key::Record {
            table: "todo",
            id: "id 1",
        }
        .encode(),
    );
    batch.write_to(sealed).unwrap();
}
