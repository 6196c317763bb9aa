//! Keys that are worth something, and stores that are not there or are not what they were.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use synctable::kv::{KvBackend, KvBatch, KvReadExt};
use synctable::store::Durability;
use synctable::{RedbStore, SledStore, SqliteKv};

use crate::kit::{Device, Ran, command};

const STRONG: &str = "velvet anchor plinth morose quill";
const SEALED: [&str; 2] = ["--store", "encrypted+redb:a.redb"];

fn run(device: &Device, args: &[&str]) -> Ran {
    device.run(&[&SEALED[..], &["--key-file", "app.key"], args].concat())
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| name(entry.unwrap()))
        .collect();
    names.sort();
    names
}

/// A device with an encrypted store of three records.
fn device() -> Device {
    let device = Device::new();
    device.ok(&["keygen", "app.key"]);
    for id in ["a", "b", "c"] {
        run(&device, &["insert", "todo", &json!({"id": id}).to_string()]).expect(0);
    }
    device
}

/// Changes the file of the store behind its back.
fn attack(device: &Device, change: impl FnOnce(&dyn KvBackend, &mut KvBatch)) {
    let path = device.folder().join("a.redb");
    let engine = RedbStore::builder(path).backend().unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    change(&engine, &mut batch);
    batch.write_to(&engine).unwrap();
    engine.close().unwrap();
}

fn entries(engine: &dyn KvBackend) -> Vec<Vec<u8>> {
    let snapshot = engine.snapshot().unwrap();
    let all = snapshot.scan(&[1]..&[3], usize::MAX).unwrap();
    all.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_new_key_is_for_its_owner_and_never_overwritten() {
    let device = Device::new();
    device.ok(&["keygen", "app.key"]);
    let key = fs::read(device.folder().join("app.key")).unwrap();
    assert_eq!(key.len(), 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = fs::metadata(device.folder().join("app.key")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    let refused = device.run(&["keygen", "app.key"]).expect(2);
    assert!(refused.err.contains("there already"), "{refused:?}");
    assert_eq!(fs::read(device.folder().join("app.key")).unwrap(), key);
    device.run(&["keygen", "missing/app.key"]).expect(1);
    device.ok(&["keygen", "b.key"]);
    assert_ne!(fs::read(device.folder().join("b.key")).unwrap(), key);
    assert_eq!(names(device.folder()), ["app.key", "b.key"]);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_makes_no_store_and_opens_one_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let device = device();
    let open = |name: &str, mode: u32| {
        let path = device.folder().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    device.ok(&["keygen", "open.key"]);
    for mode in [0o640, 0o604, 0o620] {
        open("open.key", mode);
        let new = ["--store", "encrypted+redb:b.redb", "--key-file", "open.key"];
        let refused = device.run(&[&new[..], &["insert", "todo", "{}"]].concat());
        assert!(refused.expect(2).err.contains("chmod 600"));
        let to = [
            "copy",
            "--to",
            "encrypted+sled:c",
            "--to-key-file",
            "open.key",
        ];
        run(&device, &to).expect(2);
        run(&device, &["rekey", "--new-key-file", "open.key"]).expect(2);
    }
    assert_eq!(names(device.folder()), ["a.redb", "app.key", "open.key"]);
    open("app.key", 0o644);
    let found = run(&device, &["get", "todo", "a"]);
    assert_eq!((found.code, found.line()["id"].as_str()), (0, Some("a")));
    assert!(
        found
            .err
            .starts_with("warning: the key file app.key is open to others")
    );
    assert_eq!(found.err.lines().count(), 1);
    let quiet = run(&device, &["get", "todo", "a", "--quiet"]).expect(0);
    assert_eq!(quiet.err, "");
}

#[test]
fn a_weak_passphrase_makes_no_store() {
    let device = device();
    let with = |phrase: &str, args: &[&str]| {
        let mut command = command(device.folder());
        command.env("PHRASE", phrase).arg("--json").args(args);
        Ran::of(&mut command)
    };
    let new = |phrase: &str| {
        let store = [
            "--store",
            "encrypted+redb:b.redb",
            "--passphrase-env",
            "PHRASE",
        ];
        with(phrase, &[&store[..], &["insert", "todo", "{}"]].concat())
    };
    let rekey = |phrase: &str| {
        let rekey = [
            "--key-file",
            "app.key",
            "rekey",
            "--new-passphrase-env",
            "PHRASE",
        ];
        with(phrase, &[&SEALED[..], &rekey].concat())
    };
    for weak in ["correct horse", "Passw0rd!2024"] {
        for refused in [new(weak), rekey(weak)] {
            let refused = refused.expect(2);
            assert!(refused.err.contains("too easy to guess"), "{refused:?}");
            assert!(!refused.err.contains(weak), "{refused:?}");
        }
    }
    assert_eq!(names(device.folder()), ["a.redb", "app.key"]);
    new(STRONG).expect(0);
    rekey(STRONG).expect(0);
}

const READS: [&[&str]; 14] = [
    &["get", "todo", "a"],
    &["query", "todo"],
    &["query", "todo", "$count=true"],
    &["query", "todo", "--explain"],
    &["export", "todo"],
    &["pending"],
    &["conflicts"],
    &["inspect"],
    &["verify"],
    &["verify", "--heal"],
    &["copy", "--to", "redb:target"],
    &["cancel", "1"],
    &["delete", "todo", "a"],
    &["purge", "todo"],
];

#[test]
fn reading_a_store_that_is_not_there_makes_none() {
    let device = Device::new();
    device.ok(&["keygen", "app.key"]);
    for kind in ["sqlite", "redb", "sled"] {
        for sealed in [false, true] {
            let url = format!("{}{kind}:none", if sealed { "encrypted+" } else { "" });
            let key: &[&str] = if sealed {
                &["--key-file", "app.key"]
            } else {
                &[]
            };
            for read in READS {
                let args = [&["--store", &url], key, read].concat();
                let refused = device.run(&args).expect(1);
                assert!(refused.err.contains("there is no store at"), "{refused:?}");
                assert_eq!(refused.out, "");
                assert_eq!(names(device.folder()), ["app.key"], "{args:?}");
            }
        }
    }
    for read in READS {
        let refused = device.run(&[&["--store", "memory:"], read].concat());
        assert!(refused.expect(1).err.contains("memory: holds nothing"));
    }
}

#[test]
fn an_emptied_store_is_told() {
    let device = device();
    attack(&device, |engine, batch| {
        for key in entries(engine) {
            batch.delete(key);
        }
    });
    for read in READS {
        let refused = run(&device, read).expect(1);
        assert!(refused.err.contains("without its key"), "{refused:?}");
    }
    run(&device, &["insert", "todo", "{}"]).expect(1);
    // Nothing at all is left in the file.
    attack(&device, |_, batch| {
        batch.delete(vec![0]);
        batch.delete(vec![0, 1]);
    });
    for read in READS {
        run(&device, read).expect(1);
    }
    // The same for a store that is not encrypted.
    for read in READS {
        let refused = device.run(&[&["--store", "redb:a.redb"], read].concat());
        assert!(refused.expect(1).err.contains("redb:a.redb holds nothing"));
    }
    assert_eq!(names(device.folder()), ["a.redb", "app.key"]);
}

/// Opens the engine under a store.
type Open<'a> = &'a dyn Fn() -> Arc<dyn KvBackend>;

/// The file of a sealed store comes with the store in it: one that holds nothing is not filled anew, and no key that is open to others
/// gets into it.
#[test]
fn nothing_is_made_in_a_file_that_was_emptied() {
    let device = Device::new();
    device.ok(&["keygen", "app.key"]);
    let path = |name: &str| device.folder().join(name);
    let engines: [(&str, Open<'_>); 3] = [
        ("sqlite", &|| {
            Arc::new(SqliteKv::open(path("a.sqlite")).unwrap())
        }),
        ("redb", &|| {
            let engine = RedbStore::builder(path("a.redb")).backend();
            Arc::new(engine.unwrap())
        }),
        ("sled", &|| {
            let engine = SledStore::builder(path("a.sled")).backend();
            Arc::new(engine.unwrap())
        }),
    ];
    for (name, engine) in engines {
        let url = format!("encrypted+{name}:a.{name}");
        let store = ["--store", &url, "--key-file", "app.key"];
        let run = |verb: &[&str]| device.run(&[&store[..], verb].concat());
        run(&["insert", "todo", r#"{"id":"a"}"#]).expect(0);
        let emptied = engine();
        let all = emptied
            .snapshot()
            .unwrap()
            .scan(&[]..&[u8::MAX; 64], usize::MAX);
        let mut batch = KvBatch::new(Durability::Immediate);
        for (key, _) in all.unwrap() {
            batch.delete(key);
        }
        batch.write_to(&emptied).unwrap();
        emptied.close().unwrap();
        for verb in READS.iter().copied().chain([&["insert", "todo", "{}"][..]]) {
            let refused = run(verb).expect(1);
            assert!(refused.err.contains("holds nothing"), "{name}: {refused:?}");
        }
        let told = run(&["doctor"]);
        assert!(told.out.contains("go back to a backup"), "{told:?}");
    }
}

#[test]
fn a_loss_is_not_carried_over() {
    let device = device();
    device.ok(&["keygen", "new.key"]);
    let path = device.folder().join("a.redb");
    let whole = fs::read(&path).unwrap();
    let mut all = Vec::new();
    attack(&device, |engine, _| all = entries(engine));
    assert!(all.len() > 3);
    // The keys of entries are secret, so none of them can be chosen: each is taken away once.
    for lost in all {
        fs::write(&path, &whole).unwrap();
        attack(&device, |_, batch| batch.delete(lost.clone()));
        a_loss_is_refused(&device);
    }
}

fn a_loss_is_refused(device: &Device) {
    let header = || {
        let engine = RedbStore::builder(device.folder().join("a.redb"))
            .backend()
            .unwrap();
        engine.snapshot().unwrap().copy_of(&[0]).unwrap().unwrap()
    };
    let before = header();
    for verb in [
        &["copy", "--to", "redb:target.redb"][..],
        &["rotate-key"],
        &["rekey", "--new-key-file", "new.key"],
    ] {
        let refused = run(device, verb).expect(1);
        let told = [
            "without its key",
            "does not hold together",
            "the one that names its format is gone",
        ];
        assert!(
            told.iter().any(|it| refused.err.contains(it)),
            "{refused:?}"
        );
    }
    assert_eq!(header(), before);
    run(device, &["verify"]).expect(1);
    assert!(!device.folder().join("target.redb").exists());
}

#[test]
fn an_older_copy_is_refused_where_the_newer_one_is_known() {
    let device = device();
    let path = device.folder().join("a.redb");
    let older = fs::read(&path).unwrap();
    run(&device, &["insert", "todo", r#"{"id":"d"}"#]).expect(0);
    let known = match &run(&device, &["inspect"]).expect(0).line()["atLeast"] {
        Value::String(known) => known.clone(),
        other => panic!("{other}"),
    };
    let told = command(device.folder())
        .args(SEALED)
        .args(["--key-file", "app.key", "inspect"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8(told.stdout)
            .unwrap()
            .contains("--at-least ")
    );
    let at_least = ["get", "todo", "a", "--at-least", &known];
    run(&device, &at_least).expect(0);
    let writes = known.split_once(':').unwrap().0;
    run(&device, &["get", "todo", "a", "--at-least", writes]).expect(0);

    fs::write(&path, older).unwrap();
    run(&device, &["get", "todo", "a"]).expect(0);
    for verb in [
        &["get", "todo", "a"][..],
        &["verify"],
        &["push"],
        &["rotate-key"],
    ] {
        let refused = run(&device, &[verb, &["--at-least", &known]].concat()).expect(1);
        assert!(refused.err.contains("older copy"), "{refused:?}");
    }
    fs::remove_file(&path).unwrap();
    let insert = ["insert", "todo", "{}", "--at-least", &known];
    run(&device, &insert).expect(1);
    assert!(!path.exists());
    for bad in ["x", "-1", "1:2:3", ""] {
        let args = format!("--at-least={bad}");
        run(&device, &["get", "todo", "a", &args]).expect(2);
    }
    device.run(&["pending", "--at-least", "1"]).expect(2);
}
