//! Sealed stores that are not there, or are not what they were.

use std::fs;

use rusqlite::Connection;

use crate::device::Device;
use crate::releases::{Release, both};
use crate::together::TABLE;

const KINDS: [&str; 6] = [
    "sqlite",
    "redb",
    "sled",
    "encrypted+sqlite",
    "encrypted+redb",
    "encrypted+sled",
];

/// A device whose verbs work on a sealed store in `sealed.db`.
fn sealed(release: Release) -> Device {
    let store = ["--store", "encrypted+sqlite:sealed.db"];
    let device = Device::with(release, &[&store[..], &["--key-file", "app.key"]].concat());
    device.write("app.key", &"0a".repeat(32));
    device.write("new.key", &"0b".repeat(32));
    device
}

/// Changes the entries of the sealed store behind its back.
fn attack(device: &Device, sql: &str) {
    let file = Connection::open(device.folder().join("sealed.db")).unwrap();
    file.execute_batch(sql).unwrap();
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn reading_a_store_that_is_not_there_makes_none() {
    for kind in KINDS {
        let url = format!("{kind}:none");
        let mut options = vec!["--store", &*url];
        if kind.starts_with("encrypted+") {
            options.extend(["--key-file", "app.key"]);
        }
        let [before, today] = both(|release| {
            let device = Device::with(release, &options);
            device.write("app.key", &"0a".repeat(32));
            let code = device.run(&["export", TABLE]).code;
            (code, device.folder().join("none").exists())
        });
        assert_eq!((before, today), ((0, true), (1, false)), "{kind}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_emptied_store_is_not_read_as_an_empty_one() {
    for left in ["substr(key, 1, 1) <> x'00'", "true"] {
        let [before, today] = both(|release| {
            let device = sealed(release);
            device.insert(TABLE, &["a", "b"]);
            attack(&device, &format!("DELETE FROM kv WHERE {left}"));
            [
                &["export", TABLE][..],
                &["pending"],
                &["copy", "--to", "sqlite:copy.db"],
            ]
            .map(|verb| device.run(verb).code)
        });
        assert_eq!((before, today), ([0, 0, 0], [1, 1, 1]), "{left}");
    }
}

/// Each entry but those that name the format and the keys is taken away once. Which one holds what nobody can see.
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_copy_does_not_make_a_loss_look_sound() {
    let [before, today] = both(|release| {
        let device = sealed(release);
        device.insert(TABLE, &["a", "b", "c"]);
        let whole = fs::read(device.folder().join("sealed.db")).unwrap();
        let count = {
            let file = Connection::open(device.folder().join("sealed.db")).unwrap();
            let sql = "SELECT count(*) FROM kv WHERE substr(key, 1, 1) <> x'00'";
            file.query_row(sql, [], |row| row.get::<_, usize>(0))
                .unwrap()
        };
        assert!(count > 6, "{count}");
        let (mut sound, mut rotated) = (0, 0);
        for n in 0..count {
            fs::write(device.folder().join("sealed.db"), &whole).unwrap();
            let one = format!(
                "SELECT key FROM kv WHERE substr(key, 1, 1) <> x'00' ORDER BY key LIMIT 1 OFFSET {n}"
            );
            attack(&device, &format!("DELETE FROM kv WHERE key = ({one})"));
            device.run(&["verify"]).expect(1);
            let path = device.folder().join(format!("copy{n}.db"));
            let url = format!("sqlite:{}", path.display());
            if device.run(&["copy", "--to", &url]).code == 0 {
                let copy = Device::with(release, &["--store", &url]);
                sound += usize::from(copy.run(&["verify"]).code == 0);
            } else {
                assert!(!path.exists() || release == Release::First);
            }
            rotated += usize::from(device.run(&["rotate-key"]).code == 0);
        }
        (sound, rotated)
    });
    assert!(before.0 > 3 && before.1 > 3, "{before:?}");
    assert_eq!(today, (0, 0));
}

/// Who has seen the old key puts back the header that it opens.
#[test]
#[ignore = "needs the command of release 0.1"]
fn an_older_header_is_refused() {
    let [before, today] = both(|release| {
        let device = sealed(release);
        device.insert(TABLE, &["a"]);
        let path = |name: &str| device.folder().join(name);
        fs::copy(path("sealed.db"), path("older.db")).unwrap();
        device.ok(&["rekey", "--new-key-file", "new.key"]);
        device.run(&["export", TABLE]).expect(1);
        let older = format!("ATTACH '{}' AS older;", path("older.db").display());
        let header = "SELECT value FROM older.kv WHERE key = x'00'";
        let put_back = format!("UPDATE kv SET value = ({header}) WHERE key = x'00';");
        attack(&device, &(older + &put_back));
        let ran = device.run(&["export", TABLE]);
        (ran.code, ran.lines().len())
    });
    assert_eq!((before, today), ((0, 1), (1, 0)));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_older_copy_is_refused_by_who_knows_how_far_it_had_come() {
    let [before, today] = both(|release| {
        let device = sealed(release);
        device.insert(TABLE, &["a"]);
        let older = fs::read(device.folder().join("sealed.db")).unwrap();
        device.insert(TABLE, &["b"]);
        let known = device.ok(&["inspect"]).line()["atLeast"].clone();
        fs::write(device.folder().join("sealed.db"), older).unwrap();
        let at_least = match &known {
            // There is nothing to remember.
            serde_json::Value::Null => vec![],
            known => vec!["--at-least", known.as_str().unwrap()],
        };
        let get = [&["get", TABLE, "a"], &at_least[..]].concat();
        device.run(&get)
    });
    assert_eq!((before.code, today.code), (0, 1));
    assert!(today.err.contains("older copy"), "{today:?}");
}
