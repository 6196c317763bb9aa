//! Keys, blobs and headers as a second implementation makes them (`tests/second.py vectors`).

use serde_json::Value;
use synctable_core::store::StoreErrorKind;

use crate::cipher::{Aad, EpochKeys, Kind, blob_epoch, blob_tag};
use crate::derive::StoreId;
use crate::header::Header;
use crate::kdf::Argon2Params;
use crate::key::{Passphrase, RawKey, Secret};
use crate::slot::SlotKind;

/// Those of both formats.
fn vectors(name: &str) -> Vec<Value> {
    let files = [
        include_str!("../tests/vectors/v1.json"),
        include_str!("../tests/vectors/v2.json"),
    ];
    let all = files.into_iter().flat_map(|file| {
        let all: Value = serde_json::from_str(file).unwrap();
        let vectors = all[name].as_array().unwrap().clone();
        assert!(!vectors.is_empty());
        vectors
    });
    all.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| byte(pair.as_slice())).collect()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().expect(name)
}

fn hex(vector: &Value, name: &str) -> Vec<u8> {
    unhex(text(vector, name))
}

fn number(vector: &Value, name: &str) -> u32 {
    vector[name].as_u64().expect(name).try_into().unwrap()
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn keys(vector: &Value) -> (EpochKeys, StoreId) {
    let store_id = StoreId(hex(vector, "store_id").try_into().unwrap());
    let data_key = RawKey::parse(&hex(vector, "data_key")).unwrap();
    let keys = EpochKeys::derive(number(vector, "epoch"), &data_key, &store_id).unwrap();
    (keys, store_id)
}

#[test]
fn blobs_are_sealed_and_opened_as_by_the_second_implementation() {
    for vector in vectors("blobs") {
        let (keys, store_id) = keys(&vector);
        let [physical, nonce, plain, blob, term] =
            ["physical", "nonce", "text", "blob", "manifest_term"].map(|name| hex(&vector, name));
        let kind = match text(&vector, "kind") {
            "entry" => Kind::Entry,
            "manifest" => Kind::FirstManifest,
            _ => Kind::Manifest,
        };
        let aad = Aad {
            store_id: &store_id,
            kind,
            physical: &physical,
            epoch: keys.epoch(),
        };
        let nonce = nonce.try_into().unwrap();
        assert_eq!(keys.seal_with(&aad, &plain, &nonce).unwrap(), blob);
        assert_eq!(keys.open(&aad, &blob).unwrap().as_slice(), plain);
        assert_eq!(blob_epoch(&blob).unwrap(), keys.epoch());
        let tag = blob_tag(&blob).unwrap();
        assert_eq!(keys.manifest_term(&physical, tag).as_slice(), term);
        if let Some(older) = vector["older_term"].as_str() {
            assert_eq!(keys.older_term(&physical, &blob).as_slice(), unhex(older));
        }
    }
}

#[test]
fn a_blob_opens_only_where_it_was_sealed() {
    let vectors = vectors("blobs");
    let vector = &vectors[4];
    let (right, store_id) = keys(vector);
    let (physical, blob) = (hex(vector, "physical"), hex(vector, "blob"));
    let aad = Aad {
        store_id: &store_id,
        kind: Kind::Entry,
        physical: &physical,
        epoch: right.epoch(),
    };
    assert!(right.open(&aad, &blob).is_ok());

    let moved = Aad {
        physical: &physical[1..],
        ..aad
    };
    let other_kind = Aad {
        kind: Kind::FirstManifest,
        ..aad
    };
    let other_epoch = Aad { epoch: 9, ..aad };
    let other_store = StoreId([7; 16]);
    let elsewhere = Aad {
        store_id: &other_store,
        ..aad
    };
    let manifest = Aad {
        kind: Kind::Manifest,
        ..aad
    };
    for aad in [moved, other_kind, manifest, other_epoch, elsewhere] {
        let error = right.open(&aad, &blob).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Tampered, "{aad:?}");
    }
    let (other, _) = keys(vectors.last().unwrap());
    assert_eq!(
        other.open(&aad, &blob).unwrap_err().kind(),
        StoreErrorKind::Tampered
    );

    for place in 0..blob.len() {
        let mut changed = blob.clone();
        changed[place] ^= 0x40;
        let expected = match place {
            0 | 1 => StoreErrorKind::FormatTooNew,
            _ => StoreErrorKind::Tampered,
        };
        assert_eq!(
            right.open(&aad, &changed).unwrap_err().kind(),
            expected,
            "byte {place}"
        );
    }
    for len in 0..blob.len() {
        let cut = right.open(&aad, &blob[..len]).unwrap_err();
        assert_eq!(cut.kind(), StoreErrorKind::Tampered, "cut at {len}");
        assert_eq!(blob_tag(&blob[..len]).is_some(), len >= 46);
    }
    let longer = [&blob[..], &[0]].concat();
    assert_eq!(
        right.open(&aad, &longer).unwrap_err().kind(),
        StoreErrorKind::Tampered
    );
}

#[test]
fn no_two_blobs_are_equal() {
    let (keys, store_id) = keys(&vectors("blobs")[0]);
    let aad = Aad {
        store_id: &store_id,
        kind: Kind::Entry,
        physical: b"p",
        epoch: keys.epoch(),
    };
    let blobs: std::collections::BTreeSet<_> = (0..64)
        .map(|_| keys.seal(&aad, b"same").unwrap()[6..30].to_vec())
        .collect();
    assert_eq!(blobs.len(), 64);
}

#[test]
fn tokens_are_those_of_the_second_implementation() {
    for vector in vectors("tokens") {
        let (keys, _) = keys(&vector);
        let plain = hex(&vector, "text");
        assert_eq!(keys.name_token(&plain).as_slice(), hex(&vector, "name"));
        assert_eq!(keys.index_token(&plain).as_slice(), hex(&vector, "index"));
        assert_eq!(keys.header_mac(&plain).as_slice(), hex(&vector, "header"));
    }
}

#[test]
fn passphrases_are_stretched_as_by_the_second_implementation() {
    for vector in vectors("stretched") {
        let [memory, passes, lanes] =
            ["memory_kib", "passes", "lanes"].map(|name| number(&vector, name));
        let params = Argon2Params::new(memory, passes, lanes).unwrap();
        let key = params
            .stretch(
                &passphrase(text(&vector, "passphrase")),
                &hex(&vector, "salt"),
            )
            .unwrap();
        assert_eq!(key.as_bytes().as_slice(), hex(&vector, "key"));
    }
}

#[test]
fn headers_of_the_second_implementation_open() {
    for vector in vectors("headers") {
        let bytes = hex(&vector, "header");
        let header = Header::decode(&bytes).unwrap();
        assert_eq!(header.encode(), bytes);
        assert_eq!(header.store_id().0.as_slice(), hex(&vector, "store_id"));
        assert_eq!(header.equality(), vector["equality"] == true);
        let kinds: Vec<_> = header.slots().map(|slot| slot.kind()).collect();
        assert_eq!(
            kinds,
            [SlotKind::RawKey, SlotKind::Passphrase(Argon2Params::LEAST)]
        );

        let secret = match text(&vector, "secret").split_once(':').unwrap() {
            ("raw", key) => Secret::Raw(RawKey::parse(key.as_bytes()).unwrap()),
            (_, words) => Secret::Passphrase(passphrase(words)),
        };
        let (slot, ring) = header.unlock(&secret).unwrap();
        assert_eq!(slot, usize::try_from(number(&vector, "slot")).unwrap());
        let data_keys = vector["data_keys"].as_array().unwrap();
        let epochs = vector["epochs"].as_array().unwrap();
        assert_eq!(ring.older().is_some(), epochs.len() == 2);
        assert_eq!(
            u64::from(ring.current().epoch()),
            epochs[0].as_u64().unwrap()
        );
        for (epoch, data_key) in epochs.iter().zip(data_keys) {
            let epoch = epoch.as_u64().unwrap().try_into().unwrap();
            let data_key = RawKey::parse(data_key.as_str().unwrap().as_bytes()).unwrap();
            let expected = EpochKeys::derive(epoch, &data_key, header.store_id()).unwrap();
            let found = ring.of(epoch).unwrap();
            assert_eq!(found.header_mac(b"x"), expected.header_mac(b"x"));
        }
    }
}
