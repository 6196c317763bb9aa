//! The numbers that a store carries to say in which format it is, read from its bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use synctable::kv::{Key, KvBackend, KvReadExt};
use synctable::{RedbStore, SledStore, SqliteKv};

/// What has a number, and the number. A part that gets one of its own is read here, too.
pub(crate) type Marks = BTreeSet<(&'static str, u32)>;

/// What sealed and other key-value stores say of themselves in their first entry.
const SEALED: &[u8] = b"synctable sealed ";
const KEY_VALUE: &str = "synctable kv ";

/// The marks of a store that nobody has open, which has the record `m00` in the table `movies`.
///
/// Nothing here goes by what today's code believes to write: names and places are written down once more.
pub(crate) fn marks(scheme: &str, path: &Path) -> Marks {
    let mut marks = Marks::new();
    match scheme {
        "sqlite" => marks.extend([("tables in SQLite", sqlite(path, *b"sync"))]),
        "encrypted+sqlite" => {
            marks.extend([("entries in SQLite", sqlite(path, *b"synk"))]);
            entries(&SqliteKv::open(path).unwrap(), &mut marks);
        }
        "redb" | "encrypted+redb" => {
            let bytes = fs::read(path).unwrap();
            assert!(bytes.starts_with(b"redb\x1a\x0a\xa9\x0d\x0a"));
            // The first byte of the first commit slot is the version of redb's own file.
            marks.extend([("file of redb", u32::from(bytes[64]))]);
            entries(&RedbStore::builder(path).backend().unwrap(), &mut marks);
        }
        "sled" | "encrypted+sled" => {
            let mark = fs::read_to_string(path.join("synctable")).unwrap();
            let number = mark.strip_prefix("synctable sled ").unwrap();
            marks.extend([("folder of sled", number.parse().unwrap())]);
            // What sled says of its own files.
            let conf = fs::read(path.join("conf")).unwrap();
            let conf = String::from_utf8_lossy(&conf);
            let (_, version) = conf.split_once("version: 0.").unwrap();
            let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
            marks.extend([("files of sled 0", digits.parse().unwrap())]);
            entries(&SledStore::builder(path).backend().unwrap(), &mut marks);
        }
        other => {
            panic!("{other}: say here where a store of this kind has the number of its format")
        }
    }
    marks
}

/// The `user_version` of an SQLite file with this `application_id`, from its header.
fn sqlite(path: &Path, application: [u8; 4]) -> u32 {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[68..72], application);
    u32::from_be_bytes(bytes[60..64].try_into().unwrap())
}

/// The marks above an engine, sealed or not.
fn entries(engine: &dyn KvBackend, marks: &mut Marks) {
    let snapshot = engine.snapshot().unwrap();
    let format = snapshot.copy_of(&Key::Format.encode()).unwrap().unwrap();
    if let Some(rest) = format.strip_prefix(SEALED) {
        marks.extend([("seal", u32::from(rest[0])), ("suite", u32::from(rest[1]))]);
        // Header and manifest have places of one and two bytes; all others are sealed entries.
        let all = snapshot.scan(&[][..]..&[u8::MAX; 64][..], 3).unwrap();
        let (_, blob) = all.iter().find(|(place, _)| place.len() > 2).unwrap();
        marks.extend([("sealed entry", u32::from(blob[0]))]);
    } else {
        let text = String::from_utf8(format).unwrap();
        let number = text.strip_prefix(KEY_VALUE).unwrap();
        marks.extend([("layout of keys", number.parse().unwrap())]);
        let (table, id) = ("movies", "m00");
        let record = Key::Record { table, id }.encode();
        let value = snapshot.get(&record).unwrap().unwrap();
        marks.extend([("layout of values", u32::from(value[0]))]);
    }
    drop(snapshot);
    engine.close().unwrap();
}
