//! The files of a store in an untidy world: logs without their store, a process that writes, rights, limits.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use crate::kit::{Device, Ran, command, key_file};

const KEY: [&str; 2] = ["--key-file", "app.key"];

fn device_with_key() -> Device {
    let device = Device::new();
    key_file(&device.folder().join("app.key"), &"0a".repeat(32));
    device
}

/// The options for a store of a kind.
fn store(kind: &str, path: &str) -> Vec<String> {
    let mut options = vec!["--store".to_owned(), format!("{kind}:{path}")];
    if kind.starts_with("encrypted+") {
        options.extend(KEY.map(String::from));
    }
    options
}

fn with<'a>(options: &'a [String], verb: &[&'a str]) -> Vec<&'a str> {
    let options = options.iter().map(String::as_str);
    options.chain(verb.iter().copied()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn no_store_is_made_beside_a_log() {
    let device = device_with_key();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    for kind in ["sqlite", "encrypted+sqlite"] {
        for suffix in ["-wal", "-shm", "-journal"] {
            let beside = device.folder().join(format!("new.db{suffix}"));
            fs::write(&beside, "the only copy").unwrap();
            let before = names(device.folder());
            let options = store(kind, "new.db");
            let insert = with(&options, &["insert", "todoitem", "{}"]);
            let to = format!("{kind}:new.db");
            let copy = ["copy", "--to", &to, "--to-key-file", "app.key"];
            let copy = if kind == "sqlite" {
                &copy[..3]
            } else {
                &copy[..]
            };
            for refused in [&insert[..], copy] {
                let said = device.run(refused).expect(1).err;
                assert!(said.contains(&format!("new.db{suffix}'")), "{said}");
            }
            let backup = ["backup", "new.db"];
            device.run(&backup).expect(1);
            assert_eq!(names(device.folder()), before);
            assert_eq!(fs::read_to_string(&beside).unwrap(), "the only copy");
            fs::remove_file(beside).unwrap();
        }
    }
}

#[test]
fn who_reads_does_not_wait_for_who_writes() {
    let device = Device::new();
    device.ok(&["insert", "todoitem", r#"{"id":"a","text":"Milk"}"#]);
    let writer = Connection::open(device.store()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    for verb in [
        &["get", "todoitem", "a"][..],
        &["query", "todoitem", "text eq 'Milk'"],
        &["query", "todoitem", "--explain"],
        &["query", "unknown", "--quiet"],
        &["export", "todoitem"],
        &["export", "unknown"],
        &["pending"],
        &["conflicts"],
        &["inspect"],
        &["verify"],
        &["copy", "--to", "redb:copy.redb"],
        &["backup", "backup.db"],
    ] {
        device.ok(verb);
    }
    writer.execute_batch("ROLLBACK").unwrap();
    device.ok(&["insert", "todoitem", r#"{"id":"b"}"#]);
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let device = device_with_key();
    for kind in ["sqlite", "redb", "sled", "encrypted+redb"] {
        let options = store(kind, "a.store");
        device.ok(&with(&options, &["insert", "todoitem", r#"{"id":"a"}"#]));
        let before = names(device.folder());
        for dead in ["a.store.new-7-0", "a.store.new-7-0.lock"] {
            fs::write(device.folder().join(dead), "half").unwrap();
        }
        fs::create_dir(device.folder().join("a.store.new-8-0")).unwrap();
        device.ok(&with(&options, &["get", "todoitem", "a"]));
        assert_eq!(names(device.folder()), before);
        let path = device.folder().join("a.store");
        fs::remove_file(&path)
            .or_else(|_| fs::remove_dir_all(&path))
            .unwrap();
    }
}

#[test]
fn a_path_that_looks_like_a_host_is_refused() {
    let device = Device::new();
    for kind in ["sqlite", "redb", "sled", "encrypted+sqlite"] {
        let url = format!("{kind}://data/x.db");
        let said = device.run(&["--store", &url, "pending"]).expect(2).err;
        for right in [format!("{kind}:data/x.db"), format!("{kind}:/data/x.db")] {
            assert!(said.contains(&right), "{said}");
        }
    }
    assert!(names(device.folder()).is_empty());
}

#[cfg(unix)]
#[test]
fn a_store_that_others_may_read_is_told_once_and_used() {
    use std::os::unix::fs::PermissionsExt as _;

    let device = device_with_key();
    for kind in [
        "sqlite",
        "redb",
        "sled",
        "encrypted+sqlite",
        "encrypted+redb",
    ] {
        let path = format!("it's-{}", kind.replace('+', "-"));
        let options = store(kind, &path);
        device.ok(&with(&options, &["insert", "todoitem", r#"{"id":"a"}"#]));
        let get = with(&options, &["get", "todoitem", "a"]);
        assert_eq!(device.ok(&get).err, "");
        let file = device.folder().join(&path);
        let wide = if file.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&file, fs::Permissions::from_mode(wide)).unwrap();
        let said = device.run(&get);
        assert_eq!(said.line()["id"], "a");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        assert!(said.err.starts_with("warning: "), "{said:?}");
        assert_eq!(device.ok(&[&get[..], &["--quiet"]].concat()).err, "");
        let logged = Ran::of(
            command(device.folder())
                .args(&get)
                .env("SYNCTABLE_LOG", "warn"),
        );
        assert_eq!(logged.err.lines().count(), 1, "{logged:?}");
        let mend = said.err.split_once("private: ").unwrap().1;
        let mended = Command::new("sh")
            .args(["-c", mend])
            .current_dir(device.folder())
            .status();
        assert!(mended.unwrap().success(), "{mend}");
        assert_eq!(device.ok(&get).err, "");
    }
}

/// Whatever the limit, the command does its work or says in one line what is short.
#[cfg(unix)]
#[test]
fn too_few_open_files_are_told() {
    let device = device_with_key();
    let mut told = 0;
    for kind in ["sqlite", "redb", "sled", "encrypted+sqlite"] {
        let options = store(kind, "a.store");
        device.ok(&with(&options, &["insert", "todoitem", r#"{"id":"a"}"#]));
        for limit in 4..26 {
            for (path, verb) in [
                ("a.store", &["export", "todoitem"][..]),
                ("a.store", &["insert", "todoitem", "{}"]),
                ("new.store", &["insert", "todoitem", "{}"]),
            ] {
                let options = store(kind, path);
                let ran = Ran::of(
                    Command::new("sh")
                        .args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"])
                        .arg(env!("CARGO_BIN_EXE_synctable"))
                        .args(with(&options, verb))
                        .current_dir(device.folder())
                        .stdin(Stdio::null()),
                );
                let what = format!("{kind} {verb:?} with {limit} files: {ran:?}");
                assert!([0, 1].contains(&ran.code), "{what}");
                assert_eq!(
                    ran.err.lines().count(),
                    usize::from(ran.code == 1),
                    "{what}"
                );
                if ran.code == 1 {
                    told += 1;
                    assert!(ran.err.to_lowercase().contains("too many"), "{what}");
                }
            }
            let path = device.folder().join("new.store");
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        let path = device.folder().join("a.store");
        device.ok(&with(&options, &["verify"]));
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
    assert!(told > 4, "{told}");
}
