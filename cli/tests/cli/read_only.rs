//! Stores that may not be written, or that nobody wants to have written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::json;
use tempfile::TempDir;

use crate::kit::{Device, Ran, command, key_file, lines};

const KINDS: [&str; 6] = [
    "sqlite",
    "redb",
    "sled",
    "encrypted+sqlite",
    "encrypted+redb",
    "encrypted+sled",
];
/// Every verb that reads a store and no more.
const READING: [&[&str]; 7] = [
    &["get", "todo", "a"],
    &["query", "todo", "$orderby=id"],
    &["export", "todo"],
    &["pending"],
    &["conflicts"],
    &["inspect"],
    &["verify"],
];

/// A small disk in memory.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "synctable-test"]);
        match mount.arg(folder.path()).output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                println!("skipped: no disk can be mounted here");
                None
            }
        }
    }

    fn protect(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(self.0.path());
        assert!(mount.status().unwrap().success());
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// The options for a store of a kind in a folder, whose key lies elsewhere.
fn options(kind: &str, folder: &Path, keys: &Path) -> Vec<String> {
    let mut options = vec![format!("--store={kind}:{}", folder.join("store").display())];
    if kind.starts_with("encrypted+") {
        let key = keys.join("app.key");
        key_file(&key, &"0a".repeat(32));
        options.push(format!("--key-file={}", key.display()));
    }
    options
}

fn make(device: &Device, options: &[String]) {
    for record in [r#"{"id":"a","n":1}"#, r#"{"id":"b","n":2}"#] {
        run(device, options, &["insert", "todo", record]).expect(0);
    }
}

fn run(device: &Device, options: &[String], verb: &[&str]) -> Ran {
    let options = options.iter().map(String::as_str);
    let all: Vec<&str> = options.chain(verb.iter().copied()).collect();
    device.run(&all)
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let mut found = BTreeMap::from([(folder.to_owned(), (time(folder), None))]);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let file = (time(&path), Some(fs::read(&path).unwrap()));
            found.insert(path, file);
        }
    }
    found
}

#[test]
fn verbs_that_read_write_nothing_when_told_so() {
    for kind in KINDS {
        let (device, folder) = (Device::new(), tempfile::tempdir().unwrap());
        let options = options(kind, folder.path(), device.folder());
        make(&device, &options);
        let as_ever: Vec<Ran> = READING
            .iter()
            .map(|verb| run(&device, &options, verb).expect(0))
            .collect();
        let before = tree(folder.path());
        for (verb, shown) in READING.iter().zip(as_ever) {
            let verb = [*verb, &["--read-only"]].concat();
            let copies = tempfile::tempdir().unwrap();
            let mut command = command(device.folder());
            command.arg("--json").args(&options).args(&verb);
            let read = Ran::of(command.env("TMPDIR", copies.path())).expect(0);
            let left = fs::read_dir(copies.path()).unwrap().count();
            assert_eq!(left, 0, "{kind}: a private copy stays behind");
            if verb[0] == "inspect" && kind.starts_with("encrypted+") {
                let mut shown = shown.line();
                shown.as_object_mut().unwrap().remove("atLeast").unwrap();
                assert_eq!(read.line(), shown, "{kind}");
            } else {
                assert_eq!(read.out, shown.out, "{kind}: {verb:?}");
            }
        }
        assert!(tree(folder.path()) == before, "{kind}: the folder changed");
    }
}

#[test]
fn what_writes_takes_no_such_option() {
    let device = Device::new();
    for verb in [
        &["insert", "todo", "{}"][..],
        &["delete", "todo", "a"],
        &["pull", "todo"],
        &["push"],
        &["verify", "--remote", "http://127.0.0.1:9"],
        &["verify", "--heal"],
        &["purge", "todo"],
        &["copy", "--to", "redb:b"],
    ] {
        let said = run(&device, &["--read-only".to_owned()], verb)
            .expect(2)
            .err;
        assert!(said.contains("--read-only"), "{said}");
        assert!(!device.store().exists(), "{verb:?}");
    }
    let said = device.run(&["export", "todo", "--read-only"]).expect(1).err;
    assert!(said.contains("no store"), "{said}");
}

#[test]
fn a_disk_that_takes_no_writes_is_read_without_being_asked() {
    for kind in KINDS {
        for full in [false, true] {
            let Some(disk) = Disk::new() else { return };
            let (device, folder) = (Device::new(), disk.0.path());
            let options = options(kind, folder, device.folder());
            make(&device, &options);
            let as_ever = READING.map(|verb| run(&device, &options, verb).expect(0));
            if full {
                disk.fill();
            } else {
                disk.protect();
            }
            for (verb, shown) in READING.iter().zip(&as_ever) {
                // Where temporary files go, there is no room, either.
                let mut command = command(device.folder());
                command.args(&options).args(*verb).arg("--json");
                let read = Ran::of(command.env("TMPDIR", folder));
                let what = format!("{kind}, full {full}, {verb:?}: {read:?}");
                assert_eq!(read.code, 0, "{what}");
                if verb[0] != "inspect" {
                    assert_eq!(read.out, shown.out, "{what}");
                }
                // A full disk lets some engines open the store for writing.
                let notes = read.err.lines().count();
                assert!(notes == 1 || full && notes == 0, "{what}");
                assert!(
                    read.err
                        .lines()
                        .all(|line| line.starts_with("note: read only: "))
                );
                let quiet = [*verb, &["--quiet"]].concat();
                let read = run(&device, &options, &quiet).expect(0);
                assert_eq!(read.err, "", "{what}");
            }
            let refused = run(&device, &options, &["insert", "todo", r#"{"id":"c"}"#]);
            if !full {
                refused.expect(1);
            }
        }
    }
}

#[test]
fn a_store_is_read_while_another_process_writes_it() {
    let device = Device::new();
    device.ok(&["insert", "todo", r#"{"id":"first"}"#]);
    let mut import = command(device.folder());
    import.args(["--quiet", "import", "todo", "-"]);
    let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = import.stdin.take().unwrap();
    // The first 500 are stored, and it waits for more.
    input
        .write_all(lines(700, |n| json!({"n": n})).as_bytes())
        .unwrap();
    let count = || {
        let query = ["query", "todo", "$count=true&$top=0", "--read-only"];
        device.ok(&query).line()["count"].as_u64().unwrap()
    };
    let seen = (0..1000).map(|_| count()).find(|count| *count > 1);
    assert_eq!(seen, Some(501));
    let names = || {
        let entries = fs::read_dir(device.folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    let before = names();
    assert!(before.contains("synctable.db-shm"), "{before:?}");
    for verb in READING.iter().filter(|verb| verb[0] != "get") {
        run(&device, &["--read-only".to_owned()], verb).expect(0);
    }
    assert_eq!(names(), before);
    drop(input);
    assert!(import.wait().unwrap().success());
    assert_eq!(count(), 701);
}
