//! The format as a second implementation understands it: `second.py`, written from `FORMAT.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod dump;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use synctable_encrypted::{Argon2Params, Sealed};
use synctable_kv::{Entry, KvBackend, KvReadExt};
use synctable_memory::MemoryBackend;
use tempfile::TempDir;

use dump::everything;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second.py");
/// What the script imports that an installation may lack.
const NEEDED: &str = "import cryptography.hazmat.primitives.kdf.argon2";

/// False, said on stderr, where the script cannot run.
fn python_is_there() -> bool {
    let probe = Command::new("python3").args(["-c", NEEDED]).output();
    let there = probe.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!(
            "skipped: the second implementation needs python3 with the package cryptography, 44 or later"
        );
    }
    there
}

fn python(arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .arg(SCRIPT)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half| char::from_digit(u32::from(half), 16).unwrap();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Entries as it prints and reads them.
fn told(counter: u64, entries: &[Entry]) -> Value {
    let entries = entries
        .iter()
        .map(|(key, value)| (hex(key), Value::from(hex(value))));
    json!({ "counter": counter, "entries": entries.collect::<Map<_, _>>() })
}

/// What it finds in a dump, or why it refuses it.
fn opened(path: &Path, secret: &str) -> Result<Value, String> {
    let mut command = Command::new("python3");
    let output = command
        .arg(SCRIPT)
        .arg("open")
        .arg(path)
        .arg(secret)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    let reason = errors.strip_prefix("refused: ").expect(&errors);
    Err(reason.trim_end().to_owned())
}

const RAW: &str = "raw:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "raw:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const WORDS: &str = "passphrase:Gru\u{308}\u{df}e";

fn new_store(secret: &str, equality: bool) -> (MemoryBackend, Sealed<MemoryBackend>) {
    let engine = MemoryBackend::new();
    let builder = Sealed::builder(engine.clone())
        .secret(dump::secret(secret))
        .create(true);
    let builder = builder.kdf(Argon2Params::LEAST).equality_indexes(equality);
    let sealed = builder.create(true).open().unwrap();
    (engine, sealed)
}

#[test]
fn it_reads_what_the_first_wrote() {
    if !python_is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.dump");
    for (secret, equality) in [(RAW, false), (RAW, true), (WORDS, false)] {
        let (engine, sealed) = new_store(secret, equality);
        dump::write(&path, &everything(&engine));
        assert_eq!(opened(&path, secret), Ok(told(0, &[])), "an empty store");
        dump::fill(&sealed, 40);
        dump::write(&path, &everything(&engine));
        let expected = told(2, &everything(&sealed));
        assert_eq!(opened(&path, secret), Ok(expected));
        assert_eq!(opened(&path, OTHER), Err("wrong key".to_owned()));
    }
}

#[test]
fn it_reads_a_store_in_the_middle_of_a_rotation_and_after() {
    if !python_is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.dump");
    let (engine, sealed) = new_store(RAW, false);
    dump::fill(&sealed, 200);
    let entries = everything(&sealed);
    let mut on_the_way = Vec::new();
    let progress = |_| {
        if on_the_way.is_empty() {
            on_the_way = everything(&engine);
        }
    };
    sealed.rotate(&dump::secret(RAW), progress).unwrap();

    dump::write(&path, &on_the_way);
    let found = opened(&path, RAW).unwrap();
    assert_eq!(found["entries"], told(0, &entries)["entries"]);
    let epochs: std::collections::BTreeSet<_> = on_the_way
        .iter()
        .filter_map(|(key, _)| key.get(1..5))
        .collect();
    assert_eq!(epochs.len(), 2, "entries of both epochs");

    dump::write(&path, &everything(&engine));
    assert_eq!(
        opened(&path, RAW),
        Ok(told(sealed.counter().unwrap(), &entries))
    );
}

#[test]
fn the_first_reads_what_it_wrote_and_goes_on() {
    if !python_is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.dump");
    let (_, sample) = new_store(RAW, false);
    dump::fill(&sample, 40);
    let given = told(77, &everything(&sample));
    for secret in [RAW, WORDS] {
        let mut command = Command::new("python3");
        command.arg(SCRIPT).arg("create").arg(&path).arg(secret);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(given.to_string().as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());

        let engine = dump::read(&path);
        let sealed = dump::open(&engine, secret);
        assert_eq!(told(sealed.counter().unwrap(), &everything(&sealed)), given);
        let report = sealed.verify(Some(77)).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let snapshot = sealed.snapshot().unwrap();
        for (key, value) in everything(&sample) {
            assert_eq!(
                snapshot.copy_of(&key).unwrap(),
                Some(value),
                "looked up by its key"
            );
        }
        drop(snapshot);

        dump::fill(&sealed, 50);
        dump::write(&path, &everything(&engine));
        assert_eq!(opened(&path, secret), Ok(told(79, &everything(&sealed))));
    }
}

/// Both refuse the same stores: the second one looks at everything, as the first one's `verify` does.
#[test]
fn it_refuses_what_was_changed() {
    if !python_is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.dump");
    let (engine, sealed) = new_store(RAW, true);
    dump::fill(&sealed, 3);
    let older = everything(&engine);
    dump::fill(&sealed, 3);
    let entries = everything(&engine);
    assert_eq!(entries.iter().filter(|(key, _)| key[0] > 0).count(), 7);
    // 00 is the header, 00 01 the manifest; the header is the same in both.
    for place in 0..entries.len() {
        let mut changed = entries.clone();
        let last = changed[place].1.len() - 1;
        changed[place].1[last] ^= 1;
        let mut dropped = entries.clone();
        dropped.remove(place);
        let mut put_back = entries.clone();
        put_back[place] = older[place].clone();
        let put_back = (place > 0).then_some(put_back);
        for entries in [Some(changed), (place > 1).then_some(dropped), put_back]
            .iter()
            .flatten()
        {
            dump::write(&path, entries);
            assert!(opened(&path, RAW).is_err(), "entry {place}");
            let builder = Sealed::builder(dump::read(&path)).secret(dump::secret(RAW));
            let sound = builder.open().and_then(|sealed| sealed.verify(None));
            assert!(
                !sound.is_ok_and(|report| report.is_sound()),
                "entry {place}"
            );
        }
    }
}

/// And the fixtures of the first format, of which the first implementation makes none any more.
#[test]
fn it_reads_stores_of_the_first_format() {
    if !python_is_there() {
        return;
    }
    let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    for (name, entries) in [
        ("vectors/store-v1.dump", 25),
        ("fixtures/0.1-rotating.dump", 301),
    ] {
        let path = tests.join(name);
        let found = opened(&path, RAW).unwrap();
        assert_eq!(found["entries"].as_object().unwrap().len(), entries);
        let engine = dump::read(&path);
        let sealed = dump::open(&engine, RAW);
        let folder = TempDir::new().unwrap();
        let now = folder.path().join("now.dump");
        dump::write(&now, &everything(&engine));
        let forward = told(sealed.counter().unwrap(), &everything(&sealed));
        assert_eq!(opened(&now, RAW), Ok(forward));
    }
}

#[test]
fn its_cipher_passes_the_accumulated_vector_of_c2sp() {
    if python_is_there() {
        python(&["check"]);
    }
}

#[test]
fn the_stored_vectors_are_what_it_makes() {
    if python_is_there() {
        assert!(python(&["vectors", "1"]) == include_str!("vectors/v1.json"));
        assert!(python(&["vectors", "2"]) == include_str!("vectors/v2.json"));
    }
}
