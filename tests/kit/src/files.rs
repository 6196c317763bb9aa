//! What is opened, made and refused by a store that lies at a path: [`file_tests!`](crate::file_tests) for the tests, the rest
//! for more of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use synctable_core::query::Query;
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{FieldType, Record, TableName, TableSchema};

use crate::fixture::{Store, assert_holds, commit, declare, record, table};
use crate::lab::no_process_starts;

/// A store in one file or one folder of its own, at a path that the application chooses.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use synctable_core::store::{LocalStore, StoreError};
/// use synctable_testkit::files::FileStore;
/// # use synctable_memory::MemoryStore as MyStore;
/// # trait In: Sized { fn at(path: &Path, create: bool) -> Result<Self, StoreError>; }
/// # impl In for MyStore { fn at(_: &Path, _: bool) -> Result<Self, StoreError> { Ok(Self::new()) } }
///
/// struct Mine;
///
/// impl FileStore for Mine {
///     fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
///         Ok(Arc::new(MyStore::at(path, create)?))
///     }
/// }
///
/// // synctable_testkit::file_tests!(Mine);
/// # let _ = Mine::open_at(Path::new("my.store"), true);
/// ```
pub trait FileStore: 'static {
    /// Opens the store at `path`. Where nothing is, it makes one if it may `create`, but not the folder around it.
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError>;
}

/// Makes the tests of a [`FileStore`]: `file_tests!(Mine);`. Use it once in a module.
///
/// They are about what an application's user may meet: a wrong path, somebody else's file, a folder without rights, a
/// second program. What is refused must stay as it is, and the error must name it.
#[macro_export]
macro_rules! file_tests {
    ($store:ty) => {
        mod files {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn records_survive_closing_and_dropping() {
                $crate::run($crate::files::records_survive_closing_and_dropping::<$store>());
            }

            #[test]
            fn stores_are_made_only_where_wanted() {
                $crate::files::stores_are_made_only_where_wanted::<$store>();
            }

            #[test]
            fn foreign_files_are_refused() {
                $crate::files::foreign_files_are_refused::<$store>();
            }

            #[test]
            fn second_opener_is_taken_or_told() {
                $crate::files::second_opener_is_taken_or_told::<$store>();
            }

            #[cfg(unix)]
            #[test]
            fn what_may_not_be_written_is_refused() {
                $crate::files::what_may_not_be_written_is_refused::<$store>(module_path!());
            }

            #[cfg(unix)]
            #[test]
            fn files_are_their_owners_alone() {
                $crate::run($crate::files::files_are_their_owners_alone::<$store>());
            }

            #[cfg(unix)]
            #[test]
            #[ignore = "the process that a test above starts"]
            fn opens() {
                $crate::files::opens::<$store>();
            }
        }
    };
}

/// The table of a [`closed_store`].
pub fn todo() -> TableName {
    table("todo")
}

/// Makes a store with one record, `{"id":"a","title":"Milk"}` in [`todo()`], and closes it.
pub async fn closed_store<F: FileStore>(path: &Path) {
    let store = opened::<F>(path, true);
    let declared = TableSchema::new().with_field("title", FieldType::String);
    store
        .define(&declare(&todo(), declared))
        .await
        .expect("define is taken");
    commit(&store, WriteBatch::new().put(&todo(), milk())).await;
    store.close().await.expect("the store closes");
}

/// Reads all of a store that may be damaged, adds a record and closes it.
pub async fn used(store: &dyn LocalStore) -> Result<Vec<Record>, StoreError> {
    let found = store.query_all(&todo(), &Query::all()).await?;
    store
        .commit(WriteBatch::new().put(&todo(), bread()))
        .await?;
    store.close().await?;
    Ok(found)
}

/// Opening must fail, change and make no file, and say in one line which store it is about.
pub fn refused<F: FileStore>(path: &Path) -> StoreError {
    let folder = path.parent().expect("a folder");
    let before = contents(folder);
    let error = F::open_at(path, true).expect_err("it is refused");
    assert!(contents(folder) == before, "files were changed: {error}");
    let text = assert_one_line(&error);
    let name = path.file_name().expect("a name").to_string_lossy();
    assert!(text.contains(&*name), "{text}");
    error
}

/// Whatever is wrong, its message is one line that can be shown.
pub fn assert_one_line(error: &StoreError) -> String {
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text}");
    text
}

/// All files in a folder, and what they hold.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            files.insert(path, bytes);
        }
    }
    files
}

fn milk() -> Record {
    record(r#"{"id":"a","title":"Milk"}"#)
}

fn bread() -> Record {
    record(r#"{"id":"b","title":"Bread"}"#)
}

fn opened<F: FileStore>(path: &Path, create: bool) -> Store {
    no_process_starts();
    F::open_at(path, create).expect("the store opens")
}

/// The kind of the error with which opening fails.
fn fails<F: FileStore>(path: &Path, create: bool) -> (StoreErrorKind, String) {
    let error = F::open_at(path, create).expect_err("it is refused");
    (error.kind(), assert_one_line(&error))
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").path());
    names.collect()
}

/// Closed or only dropped, under a name with characters that mean something elsewhere; nothing else is left lying about.
pub async fn records_survive_closing_and_dropping<F: FileStore>() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a ?#%é.store");
    closed_store::<F>(&path).await;
    let store = opened::<F>(&path, true);
    assert_holds(&store, &todo(), &[milk()]).await;
    commit(&store, WriteBatch::new().put(&todo(), bread())).await;
    drop(store);
    assert_eq!(names(folder.path()), slice::from_ref(&path));
    let store = opened::<F>(&path, false);
    assert_holds(&store, &todo(), &[milk(), bread()]).await;
}

/// Not without leave, and not in a folder that is not there.
pub fn stores_are_made_only_where_wanted<F: FileStore>() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.store");
    assert_eq!(fails::<F>(&path, false).0, StoreErrorKind::Io);
    let (kind, text) = fails::<F>(&folder.path().join("no/a.store"), true);
    assert_eq!(kind, StoreErrorKind::Io);
    assert!(text.contains("no folder"), "{text}");
    assert!(names(folder.path()).is_empty(), "nothing was made");
}

/// Files and folders of others stay as they are.
pub fn foreign_files_are_refused<F: FileStore>() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.store");
    for bytes in [
        &b""[..],
        b"x",
        b"not a store, but some longer text\n",
        &[0; 5000],
        b"SQLite format 3\0",
    ] {
        fs::write(&path, bytes).expect("a file");
        let kind = refused::<F>(&path).kind();
        assert_eq!(kind, StoreErrorKind::NotAStore, "{bytes:?}");
    }
    let other = folder.path().join("y.store");
    fs::create_dir(&other).expect("a folder");
    assert_eq!(refused::<F>(&other).kind(), StoreErrorKind::NotAStore);
}

/// A store that several processes may use is opened twice; another one says who has it, until it is free.
pub fn second_opener_is_taken_or_told<F: FileStore>() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.store");
    let first = opened::<F>(&path, true);
    if first.capabilities().multi_process {
        opened::<F>(&path, false);
    } else {
        let (kind, text) = fails::<F>(&path, true);
        assert_eq!(kind, StoreErrorKind::Locked, "{text}");
    }
    drop(first);
    opened::<F>(&path, false);
}

/// While it is open and when it is closed, nobody else may read or write any file of a new store, nor look into its folder.
#[cfg(unix)]
pub async fn files_are_their_owners_alone<F: FileStore>() {
    use std::os::unix::fs::PermissionsExt as _;

    fn assert_private(folder: &Path) {
        for path in names(folder) {
            let mode = fs::metadata(&path)
                .expect("it is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", path.display());
            if path.is_dir() {
                assert_private(&path);
            }
        }
    }

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.store");
    closed_store::<F>(&path).await;
    assert_private(folder.path());
    let store = opened::<F>(&path, false);
    let large = format!(r#"{{"id":"large","title":"{}"}}"#, "x".repeat(3 << 20));
    commit(&store, WriteBatch::new().put(&todo(), record(&large))).await;
    let lock = store.try_lock().await.expect("it is tried");
    assert_private(folder.path());
    drop(lock);
    store.close().await.expect("the store closes");
    assert_private(folder.path());
}
/// For stores in one file: what is written after somebody removed it, or put another in its place, would be lost, so nothing is
/// taken any more; a file that is put back is.
#[cfg(unix)]
pub async fn lost_files_take_no_writes<F: FileStore>() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, aside) = (folder.path().join("a.store"), folder.path().join("b.store"));
    closed_store::<F>(&path).await;
    let store = opened::<F>(&path, false);
    let fails = async |batch: WriteBatch| {
        let error = store.commit(batch).await.expect_err("the file is gone");
        let text = assert_one_line(&error);
        assert_eq!(error.kind(), StoreErrorKind::Gone, "{text}");
        assert!(text.contains("a.store"), "{text}");
    };
    fs::rename(&path, &aside).expect("it is moved away");
    fails(WriteBatch::new().put(&todo(), bread())).await;
    fails(
        WriteBatch::new()
            .put(&todo(), bread())
            .durability(Durability::Eventual),
    )
    .await;
    fs::copy(&aside, &path).expect("another takes its place");
    fails(WriteBatch::new().put(&todo(), bread())).await;
    fs::remove_file(&path).expect("that one is removed");
    fails(WriteBatch::new().put(&todo(), bread())).await;
    fs::rename(&aside, &path).expect("it is put back");
    assert_holds(&store, &todo(), &[milk()]).await;
    commit(&store, WriteBatch::new().put(&todo(), bread())).await;
    store.close().await.expect("the store closes");
    let store = opened::<F>(&path, false);
    assert_holds(&store, &todo(), &[milk(), bread()]).await;
}

#[cfg(unix)]
pub use rights::{opens, what_may_not_be_written_is_refused};

#[cfg(unix)]
mod rights {
    use std::env;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::{FileStore, Path, contents, fs, names, slice};

    /// Names the store that [`opens`] is to open.
    const STORE: &str = "SYNCTABLE_TEST_STORE";

    /// What a process without special rights does: opens the store, and says what came of it.
    pub fn opens<F: FileStore>() {
        let Some(path) = env::var_os(STORE) else {
            return;
        };
        match F::open_at(Path::new(&path), true) {
            Ok(_) => println!("outcome opened"),
            Err(error) => println!("outcome {:?} {error}", error.kind()),
        }
    }

    /// Folders and stores without the right to write or read: told as such, nothing made or changed.
    ///
    /// Skipped where the tests run as root and others cannot run them.
    pub fn what_may_not_be_written_is_refused<F: FileStore>(module: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.store");
        let open = || outcome(module, folder.path(), &path);
        allow(folder.path(), 0o777);
        if open().as_deref() != Some("opened") {
            eprintln!("skipped: this test runs as root and others cannot run its binary");
            return;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("the store can be removed");
        allow(folder.path(), 0o555);
        assert_refused(open(), "in a folder that is only read");
        assert!(names(folder.path()).is_empty(), "nothing was made");

        allow(folder.path(), 0o777);
        drop(F::open_at(&path, true).expect("the store opens"));
        let before = contents(folder.path());
        for (mode, what) in [
            (0o444, "that is only read"),
            (0o000, "that is not even read"),
        ] {
            allow(&path, mode);
            assert_refused(open(), &format!("a store {what}"));
            allow(&path, 0o777);
            assert!(
                contents(folder.path()) == before,
                "a store {what} was changed"
            );
        }
        allow(folder.path(), 0o555);
        if open().as_deref() != Some("opened") {
            assert_refused(open(), "a store that needs room beside it");
        }
        assert_eq!(names(folder.path()), slice::from_ref(&path));
        allow(folder.path(), 0o777);
        drop(F::open_at(&path, false).expect("the store opens again"));
    }

    fn assert_refused(outcome: Option<String>, what: &str) {
        let outcome = outcome.unwrap_or_default();
        assert!(outcome.starts_with("Permission "), "{what}: {outcome:?}");
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("rights are set");
    }

    /// What [`opens`] says in a process of its own. Root may do anything, so that process is somebody else's.
    fn outcome(module: &str, folder: &Path, path: &Path) -> Option<String> {
        let test = match module.split_once("::") {
            Some((_, inner)) => format!("{inner}::opens"),
            None => "opens".to_owned(),
        };
        let mut command = Command::new(env::current_exe().ok()?);
        command.args(["--exact", &test, "--ignored", "--nocapture"]);
        if fs::metadata(folder).ok()?.uid() == 0 {
            command.uid(65534).gid(65534);
        }
        let output = command.env(STORE, path).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        let (_, outcome) = said.split_once("outcome ")?;
        outcome.lines().next().map(str::to_owned)
    }
}
