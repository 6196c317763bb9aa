//! A store of an earlier format is kept as it was when it is brought forward, so that an application can go back to its earlier release.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use synctable::kv::files::kept_at;
use synctable::store::LocalStore;
use synctable::sync::SyncContext;
use synctable::{RedbStore, SledStore, SqliteStore};

use crate::fixture::Fixture;
use crate::held::{contents, context};
use crate::marks::marks;

/// The format by which the copy is named: that of the seal, where there is one.
fn outermost(fixture: &Fixture) -> u32 {
    let is_newer = fixture.scheme().starts_with("encrypted") && !fixture.name.starts_with("0.1");
    1 + u32::from(is_newer)
}

/// Opens the device's store and writes to it, which brings it forward at the latest.
async fn bring_forward(fixture: &Fixture) {
    let sync = context(fixture).await;
    sync.set_setting("after", "the upgrade").await.unwrap();
    sync.close().await.unwrap();
}

/// The device in a new folder, with the store that was kept in the place of its own.
fn gone_back(fixture: &Fixture, folder: &Path) -> Fixture {
    let back = fixture.copied_to(folder);
    let kept = kept_at(&fixture.device_path(), outermost(fixture));
    fs::rename(kept, back.device_path()).unwrap();
    back
}

#[tokio::test]
async fn what_was_there_before_an_upgrade_is_kept_as_it_was() {
    for (fixture, untouched) in Fixture::all().zip(Fixture::all()) {
        let what = &fixture.name;
        let device = fixture.device_path();
        let kept = kept_at(&device, outermost(&fixture));
        let expected = contents(&context(&untouched).await).await;
        bring_forward(&fixture).await;
        if !fixture.is_earlier() {
            assert!(!kept.exists(), "{what}: nothing was brought forward");
            continue;
        }
        // It is opened as what it is: by the earlier release, or by this one, which keeps a copy once more.
        let folder = tempfile::tempdir().unwrap();
        let back = gone_back(&fixture, folder.path());
        let again = Fixture::all().find(|it| it.name == *what).unwrap();
        let scheme = fixture.scheme();
        assert_eq!(
            marks(scheme, &back.device_path()),
            marks(scheme, &again.device_path()),
            "{what}"
        );
        assert_eq!(contents(&context(&back).await).await, expected, "{what}");
        bring_forward(&back).await;
        let kept_again = kept_at(&back.device_path(), outermost(&again));
        assert!(kept_again.exists(), "{what}");
        // Once it is of this release's format nothing is copied.
        bring_forward(&fixture).await;
        assert!(!kept.exists(), "{what}");
        let drafts = fs::read_dir(fixture.folder()).unwrap();
        let names = drafts.map(|entry| entry.unwrap().file_name());
        let names: Vec<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
        assert!(!names.iter().any(|it| it.contains(".new-")), "{names:?}");
    }
}

#[tokio::test]
async fn an_older_copy_makes_room() {
    for (fixture, untouched) in Fixture::all().zip(Fixture::all()) {
        if !fixture.is_earlier() {
            continue;
        }
        let kept = kept_at(&fixture.device_path(), outermost(&fixture));
        fs::write(&kept, "of another time").unwrap();
        let expected = contents(&context(&untouched).await).await;
        bring_forward(&fixture).await;
        let folder = tempfile::tempdir().unwrap();
        let back = gone_back(&fixture, folder.path());
        let what = &fixture.name;
        assert_eq!(contents(&context(&back).await).await, expected, "{what}");
    }
}

#[tokio::test]
async fn nothing_is_kept_where_the_application_wants_none() {
    for fixture in Fixture::all().filter(Fixture::is_earlier) {
        let path = fixture.device_path();
        let store: Arc<dyn LocalStore> = match fixture.scheme() {
            "sqlite" => Arc::new(
                SqliteStore::builder(&path)
                    .keep_earlier(false)
                    .open()
                    .unwrap(),
            ),
            "redb" => Arc::new(
                RedbStore::builder(&path)
                    .keep_earlier(false)
                    .open()
                    .unwrap(),
            ),
            "sled" => Arc::new(
                SledStore::builder(&path)
                    .keep_earlier(false)
                    .open()
                    .unwrap(),
            ),
            _ => continue,
        };
        let sync = SyncContext::builder(store).open().await.unwrap();
        sync.set_setting("after", "the upgrade").await.unwrap();
        sync.close().await.unwrap();
        assert!(!kept_at(&path, 1).exists(), "{}", fixture.name);
    }
}
