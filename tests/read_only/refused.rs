//! What is no store that can be read.

use std::fs;

use synctable::encrypted::{Anchor, RawKey};
use synctable::store::StoreErrorKind;
use synctable::{StoreKey, StoreUrl};

use crate::{KINDS, Tree, begun, key, killed, opened, url};

fn kind_of(url: &StoreUrl, key: Option<StoreKey>) -> StoreErrorKind {
    url.open_read_only(key)
        .expect_err("it is no store that can be read")
        .kind()
}

#[tokio::test]
async fn nonsense_is_refused_and_nothing_is_made() {
    let memory: StoreUrl = "memory:".parse().unwrap();
    assert_eq!(kind_of(&memory, None), StoreErrorKind::Unsupported);
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> StoreUrl {
            let path = folder.path().join(name);
            format!("{kind}:{}", path.display()).parse().unwrap()
        };
        for (name, content) in [("empty", ""), ("text", "no store at all"), ("far", "x")] {
            fs::write(folder.path().join(name), content.repeat(2000)).unwrap();
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::write(
            folder.path().join("gone-wal"),
            "the log of a file that is gone",
        )
        .unwrap();
        let before = Tree::of(folder.path());
        for name in ["none", "no/such/folder"] {
            assert_eq!(
                kind_of(&at(name), key(&at(name))),
                StoreErrorKind::Io,
                "{kind} {name}"
            );
        }
        for name in ["empty", "text", "far", "folder"] {
            let found = kind_of(&at(name), key(&at(name)));
            assert_eq!(found, StoreErrorKind::NotAStore, "{kind} {name}");
        }
        if kind.ends_with("sqlite") {
            let url = at("gone");
            assert_eq!(kind_of(&url, key(&url)), StoreErrorKind::NotAStore);
        }
        before.assert_still(folder.path(), kind);
    }
}

#[tokio::test]
async fn stores_of_another_kind_and_cut_ones_are_refused() {
    for (kind, other) in [
        ("sqlite", "encrypted+sqlite"),
        ("redb", "encrypted+redb"),
        ("sled", "encrypted+sled"),
    ] {
        for (made, asked) in [(kind, other), (other, kind)] {
            let folder = killed(made).await;
            let before = Tree::of(folder.path());
            let url = url(asked, folder.path());
            let found = kind_of(&url, key(&url));
            let expected = [
                StoreErrorKind::NotAStore,
                StoreErrorKind::NotEncrypted,
                StoreErrorKind::KeyNeeded,
            ];
            assert!(expected.contains(&found), "{made} as {asked}: {found:?}");
            before.assert_still(folder.path(), asked);
        }
    }
    for kind in ["sqlite", "redb", "encrypted+sqlite", "encrypted+redb"] {
        let folder = tempfile::tempdir().unwrap();
        begun(kind, folder.path()).await.close().await.unwrap();
        let path = folder.path().join("store");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        drop(file);
        let before = Tree::of(folder.path());
        let url = url(kind, folder.path());
        assert_eq!(kind_of(&url, key(&url)), StoreErrorKind::Corrupt, "{kind}");
        before.assert_still(folder.path(), kind);
    }
}

#[tokio::test]
async fn a_seal_is_checked_as_always() {
    for kind in KINDS
        .into_iter()
        .filter(|kind| kind.starts_with("encrypted"))
    {
        let folder = tempfile::tempdir().unwrap();
        begun(kind, folder.path()).await.close().await.unwrap();
        let url = url(kind, folder.path());
        let anchor = opened(&url).sealed.unwrap().anchor().unwrap();
        let before = Tree::of(folder.path());

        assert_eq!(kind_of(&url, None), StoreErrorKind::KeyNeeded);
        let wrong = StoreKey::Raw(RawKey::from_bytes([8; 32]));
        assert_eq!(kind_of(&url, Some(wrong)), StoreErrorKind::WrongKey);
        let opened = url.open_read_only_at_least(key(&url), anchor).unwrap();
        let sealed = opened.sealed.unwrap();
        assert!(sealed.verify(None).unwrap().is_sound(), "{kind}");
        // It would have to be known to survive a power cut.
        let error = sealed.anchor().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{kind}");
        drop((sealed, opened.store));
        let later: Anchor = {
            let text = anchor.to_string();
            let (counter, rest) = text
                .split_once(|it: char| !it.is_ascii_digit())
                .map_or((text.clone(), String::new()), |(counter, _)| {
                    (counter.to_owned(), text[counter.len()..].to_owned())
                });
            let counter: u64 = counter.parse().unwrap();
            format!("{}{rest}", counter + 9).parse().unwrap()
        };
        let older = url.open_read_only_at_least(key(&url), later).unwrap_err();
        assert_eq!(older.kind(), StoreErrorKind::Tampered, "{kind}");
        before.assert_still(folder.path(), kind);
    }
}
