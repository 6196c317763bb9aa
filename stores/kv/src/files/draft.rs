//! New files and folders under a name of their own, until they are whole and get their place.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use synctable_core::store::StoreError;

use super::access::{create_private, private};
use super::{io_error, sync_folder, taken};

/// What stands between the name of the store and the numbers of the draft.
const NEW: &str = ".new-";
/// Behind the name of a draft: the file that its maker holds locked.
const LOCK: &str = ".lock";
/// What SQLite puts behind the name of a file for those beside it.
const SIDES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// What it means that something is at the path already when a draft is to be placed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Another process was faster: its store is as good.
    Fine,
    /// Nothing is replaced: an error.
    Refused,
}

/// A new file or folder that has not its own name yet: `NAME.new-PROCESS-NUMBER`. It is removed when this is dropped.
///
/// Its maker holds a file beside it locked, so what a killed process left is told from what is being made: it is removed when the next draft of
/// that name is made, and by [`remove_dead_drafts`].
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl Draft {
    /// A draft of what is to lie at `target`. Nothing is at its path so far.
    pub fn new(target: &Path) -> Result<Self, StoreError> {
        remove_dead_drafts(target);
        loop {
            let path = name_of(target);
            let lock = with_suffix(&path, LOCK);
            let mut options = File::options();
            let file = match private(options.write(true).create_new(true)).open(&lock) {
                // Of a dead process with the same number, or of one that sees other processes than we do.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                result => result.map_err(|error| io_error(target, error))?,
            };
            // Who clears up may have taken it for that of a dead process before it was locked.
            let lost = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if lost || fs::symlink_metadata(&lock).is_err() {
                continue;
            }
            return Ok(Self {
                path,
                target: target.to_owned(),
                lock,
                _locked: file,
            });
        }
    }

    /// A draft that is an empty file, which its owner alone may read and write.
    pub fn of_file(target: &Path) -> Result<Self, StoreError> {
        let draft = Self::new(target)?;
        create_private(&draft.path).map_err(|error| io_error(target, error))?;
        Ok(draft)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durably. All in it is closed by now.
    pub fn place(self, if_taken: Taken) -> Result<(), StoreError> {
        sync_all(&self.path).map_err(|error| io_error(&self.target, error))?;
        let placed = if self.path.is_dir() {
            self.place_folder(if_taken)
        } else {
            self.place_file(if_taken)
        };
        let folder = self.target.parent();
        placed?;
        folder
            .map_or(Ok(()), sync_folder)
            .map_err(|error| io_error(&self.target, error))
    }

    fn place_file(&self, if_taken: Taken) -> Result<(), StoreError> {
        match fs::hard_link(&self.path, &self.target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.met(if_taken),
            // Some file systems have no links.
            Err(_) if fs::symlink_metadata(&self.target).is_err() => self.rename(),
            result => result.map_err(|error| io_error(&self.target, error)),
        }
    }

    fn place_folder(&self, if_taken: Taken) -> Result<(), StoreError> {
        // An empty folder would be replaced without a word.
        if if_taken == Taken::Refused && fs::symlink_metadata(&self.target).is_ok() {
            return self.met(if_taken);
        }
        match self.rename() {
            Err(_) if self.target.is_dir() => self.met(if_taken),
            result => result,
        }
    }

    fn rename(&self) -> Result<(), StoreError> {
        fs::rename(&self.path, &self.target).map_err(|error| io_error(&self.target, error))
    }

    fn met(&self, if_taken: Taken) -> Result<(), StoreError> {
        match if_taken {
            Taken::Fine => Ok(()),
            Taken::Refused => Err(taken(&self.target)),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed now, a later opening removes.
        let _ = remove_draft(&self.path);
        let _ = fs::remove_file(&self.lock);
    }
}

/// Removes the drafts of `target` that no living process makes. Best effort: a failure leaves them to the next one.
pub fn remove_dead_drafts(target: &Path) {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (Some(name), Ok(entries)) = (target.file_name(), fs::read_dir(folder)) else {
        return;
    };
    let drafts: BTreeSet<OsString> = entries
        .flatten()
        .filter_map(|entry| draft_in(&entry.file_name(), name))
        .collect();
    for draft in drafts {
        let draft = folder.join(draft);
        let lock = with_suffix(&draft, LOCK);
        let held = match File::options().write(true).open(&lock) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(file),
                Err(_) => continue,
            },
            // A living process locks first and makes then.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => continue,
        };
        if remove_draft(&draft).is_ok() && held.is_some() {
            let _ = fs::remove_file(&lock);
        }
    }
}

/// Removes the drafts of whatever name in the folder of `target` that no living process makes: those of a backup, which is given another
/// name each time, would stay for ever else. Only those go whose maker left its file for the lock, empty as it makes it, beside them. Best effort.
pub fn remove_dead_drafts_around(target: &Path) {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(target) = target_of(&name) else {
            continue;
        };
        let is_empty = |meta: fs::Metadata| meta.is_file() && meta.len() == 0;
        if entry.metadata().is_ok_and(is_empty) {
            remove_dead_drafts(&folder.join(target));
        }
    }
}

/// The name of what `lock`, the name of a file, is to become, if it is the lock of a draft.
fn target_of(lock: &OsStr) -> Option<&str> {
    let name = lock.to_str()?.strip_suffix(LOCK)?;
    let ends = name.match_indices(NEW).map(|(at, _)| name.get(..at));
    ends.flatten()
        .find(|target| !target.is_empty() && draft_in(lock, OsStr::new(target)).is_some())
}

/// The name of the draft that the file `name` belongs to, if it is one of the store `of`.
fn draft_in(name: &OsStr, of: &OsStr) -> Option<OsString> {
    let behind = name
        .as_encoded_bytes()
        .strip_prefix(of.as_encoded_bytes())?
        .strip_prefix(NEW.as_bytes())?;
    let behind = std::str::from_utf8(behind).ok()?;
    let numbers = SIDES
        .iter()
        .chain([&LOCK])
        .rev()
        .find_map(|side| behind.strip_suffix(side))?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let is_draft = |numbers: &str| {
        let pair = numbers.split_once('-');
        pair.is_some_and(|(process, number)| is_number(process) && is_number(number))
    };
    // An engine that makes its file under the name of a draft makes a draft of that.
    if !numbers.split(NEW).all(is_draft) {
        return None;
    }
    let mut draft = of.to_owned();
    draft.push(NEW);
    draft.push(numbers);
    Some(draft)
}

/// Brings a file, or all in a folder, to the disk.
fn sync_all(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return File::options().write(true).open(path)?.sync_all();
    }
    for entry in fs::read_dir(path)? {
        sync_all(&entry?.path())?;
    }
    sync_folder(path)
}

/// A name that no other call and no other process uses.
fn name_of(target: &Path) -> PathBuf {
    static DRAFTS: AtomicU32 = AtomicU32::new(0);
    let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(format!("{NEW}{}-{draft}", std::process::id()));
    target.with_file_name(name)
}

/// `path` with more behind its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

fn remove_draft(draft: &Path) -> io::Result<()> {
    for side in SIDES {
        let path = with_suffix(draft, side);
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "tests fail by panicking"
    )]

    use super::*;

    /// A folder that ends with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("synctable-draft-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn drafts_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = Folder::new("dead");
        let target = folder.0.join("a.db");
        let living = Draft::of_file(&target).unwrap();
        for dead in [
            "a.db.new-1-0",
            "a.db.new-1-0-wal",
            "a.db.new-1-0.lock",
            "a.db.new-22-3-journal",
            "a.db.new-4-4.lock",
            "a.db.new-6-6.new-6-7",
            "a.db.new-6-6.new-6-7-wal",
            "a.db.new-6-6.new-6-7.lock",
        ] {
            fs::write(folder.0.join(dead), "x").unwrap();
        }
        fs::create_dir(folder.0.join("a.db.new-5-5")).unwrap();
        fs::write(folder.0.join("a.db.new-5-5/db"), "x").unwrap();
        let others = [
            "a.db",
            "a.db.new-1",
            "a.db.new-x-1",
            "a.db.new-1-1.new-1",
            "a.db.new-1-0.bak",
            "b.a.db.new-1-0",
        ];
        for other in others {
            fs::write(folder.0.join(other), "x").unwrap();
        }
        remove_dead_drafts(&target);
        let name = living.path().file_name().unwrap().to_str().unwrap();
        let mut left: Vec<String> = others.map(String::from).to_vec();
        left.extend([name.to_owned(), format!("{name}.lock")]);
        left.sort();
        assert_eq!(folder.names(), left);
        drop(living);
        assert_eq!(folder.names().len(), others.len());
    }

    #[test]
    fn drafts_of_another_name_go_where_their_maker_left_its_lock() {
        let folder = Folder::new("around");
        let living = Draft::of_file(&folder.0.join("c.db")).unwrap();
        for dead in ["a.db.new-1-0", "a.db.new-1-0-journal", "b.new-2-1.new-2-2"] {
            fs::write(folder.0.join(dead), "x").unwrap();
        }
        for lock in ["a.db.new-1-0.lock", "b.new-2-1.new-2-2.lock"] {
            fs::write(folder.0.join(lock), "").unwrap();
        }
        // Not ours: no lock, a lock with something in it, a name of another form.
        let others = [
            "d.new-1-0",
            "e.new-1-0",
            "e.new-1-0.lock",
            "f.lock",
            "g.new-1.lock",
        ];
        for other in others {
            fs::write(folder.0.join(other), "x").unwrap();
        }
        remove_dead_drafts_around(&folder.0.join("z.db"));
        let name = living.path().file_name().unwrap().to_str().unwrap();
        let mut left: Vec<String> = others.map(String::from).to_vec();
        left.extend([name.to_owned(), format!("{name}.lock")]);
        left.sort();
        assert_eq!(folder.names(), left);
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let folder = Folder::new("taken");
        let (file, place) = (folder.0.join("file"), folder.0.join("folder"));
        fs::write(&file, "old").unwrap();
        fs::create_dir(&place).unwrap();
        for if_taken in [Taken::Refused, Taken::Fine] {
            let draft = Draft::of_file(&file).unwrap();
            let is_fine = if_taken == Taken::Fine;
            assert_eq!(draft.place(if_taken).is_ok(), is_fine);
            let draft = Draft::new(&place).unwrap();
            fs::create_dir(draft.path()).unwrap();
            fs::write(place.join("old"), "").unwrap();
            assert_eq!(draft.place(if_taken).is_ok(), is_fine);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert!(place.join("old").exists());
        assert_eq!(folder.names(), ["file", "folder"]);
    }
}
