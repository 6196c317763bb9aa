//! There is a fixture of everything that today's code writes and of all that it wrote before. When one of these tests fails because a format
//! is new, `fixtures/README.md` says what to add.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use synctable::encrypted::RawKey;
use synctable::sync::SyncContext;
use synctable::{Missing, Record, StoreKey, StoreUrl};

use crate::fixture::{Fixture, RELEASES, STORES, TABLES, fixtures};
use crate::marks::{Marks, marks};

/// What is in `stores` and has no files of its own.
const WITHOUT_FILES: [&str; 4] = ["encrypted", "kv", "memory", "threads"];
/// Where numbers do not begin with 1, the first that a release of ours wrote.
const FIRST: [(&str, u32); 2] = [("file of redb", 3), ("files of sled 0", 34)];

/// The marks of all fixtures of each kind of store.
fn written() -> BTreeMap<&'static str, Marks> {
    let mut all: BTreeMap<_, Marks> = BTreeMap::new();
    for fixture in Fixture::all() {
        let found = marks(fixture.scheme(), &fixture.device_path());
        all.entry(fixture.scheme()).or_default().extend(found);
    }
    all
}

/// The marks of a store that today's code makes.
async fn of_today(scheme: &str) -> Marks {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let url: StoreUrl = format!("{scheme}:{}", path.display()).parse().unwrap();
    let key = url.is_encrypted().then(|| RawKey::random().unwrap());
    let store = url.open(key.map(StoreKey::Raw), Missing::Make).unwrap();
    let sync = SyncContext::builder(store.store).open().await.unwrap();
    let movies = sync.table::<Record>("movies").unwrap();
    let record = synctable::Draft::from_json(r#"{"id":"m00"}"#).unwrap();
    let record = record.or_id(|| unreachable!());
    movies.insert(&record).await.unwrap();
    sync.close().await.unwrap();
    marks(scheme, &path)
}

#[tokio::test]
async fn what_is_written_today_has_a_fixture() {
    let written = written();
    let mut missing = Vec::new();
    for (_, scheme) in STORES {
        let today = of_today(scheme).await;
        let new = today.difference(&written[scheme]);
        missing.extend(new.map(|(what, number)| format!("{scheme}: {what} {number}")));
    }
    assert!(
        missing.is_empty(),
        "written today and in no fixture: {missing:?}; add fixtures as fixtures/README.md says"
    );
}

#[test]
fn no_format_since_the_first_is_left_out() {
    for (scheme, marks) in written() {
        let mut numbers: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (what, number) in marks {
            numbers.entry(what).or_default().push(number);
        }
        for (what, numbers) in numbers {
            let first = FIRST.iter().find(|(name, _)| *name == what);
            let first = first.map_or(1, |(_, number)| *number);
            let all: Vec<u32> = (first..=*numbers.last().unwrap()).collect();
            assert_eq!(numbers, all, "{scheme}: {what}");
        }
    }
}

#[test]
fn every_release_has_every_store() {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut names: Vec<String> = folders
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut releases = RELEASES;
    releases.sort_unstable();
    assert_eq!(folders(&fixtures()), releases, "RELEASES of fixture.rs");
    let mut stores = STORES.map(|(name, _)| name);
    stores.sort_unstable();
    for release in RELEASES {
        assert_eq!(folders(&fixtures().join(release)), stores, "{release}");
    }
    // A new engine comes with a crate of its own.
    let mut engines = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stores"));
    engines.retain(|name| !WITHOUT_FILES.contains(&name.as_str()));
    for engine in engines {
        for scheme in [engine.clone(), format!("encrypted+{engine}")] {
            let known = STORES.iter().any(|(_, known)| *known == scheme);
            assert!(known, "{scheme} is not among the STORES of fixture.rs");
        }
    }
}

#[test]
fn fixtures_hold_what_they_are_meant_to() {
    for fixture in Fixture::all() {
        let held: usize = TABLES.iter().map(|it| fixture.expected(it).len()).sum();
        assert!(held >= 38, "{}: {held} records", fixture.name);
        assert_eq!(fixture.expected("pending").len(), 12, "{}", fixture.name);
        assert_eq!(fixture.expected("conflicts").len(), 2, "{}", fixture.name);
    }
}
