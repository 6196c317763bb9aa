//! Who may read the files of a store: its owner alone, if we make them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::draft::with_suffix;
use super::shown;

/// What lies beside a store file, or may.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", "-push", "-changes"];

/// Options with which a file that is made is its owner's alone.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes an empty file that its owner alone may read and write.
pub fn create_private(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true).write(true).create_new(true)).open(path)
}

/// Makes a folder that its owner alone may use.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    private_folders().create(path)
}

/// Makes a folder and those around it that are missing; their owner alone may use them. One that is there stays as it is.
pub fn create_private_folders(path: &Path) -> io::Result<()> {
    private_folders().recursive(true).create(path)
}

fn private_folders() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Takes the rights of others from the files in a folder and its folders, where the folder itself is its owner's alone.
pub fn make_private(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if unix::rights_of_others(folder) == Some(0) {
        unix::narrow_all(folder)?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// What to say of the store at `path` if other users of the machine may read or write it, and how to mend it.
///
/// ```
/// use std::path::Path;
/// assert_eq!(synctable_kv::files::exposure(Path::new("no-such.db")), None);
/// ```
pub fn exposure(path: &Path) -> Option<String> {
    let exposed = exposed(path);
    let first = exposed.first()?;
    let names: Vec<String> = exposed.iter().map(|path| in_shell(path)).collect();
    let mend = if first.is_dir() {
        "chmod -R go-rwx"
    } else {
        "chmod 600"
    };
    Some(format!(
        "{} may be read or written by other users of this machine; to keep it private: {mend} {}",
        shown(first),
        names.join(" ")
    ))
}

/// Says so in the log, too.
pub fn warn_if_exposed(path: &Path) {
    if let Some(warning) = exposure(path) {
        tracing::warn!("{warning}");
    }
}

fn exposed(path: &Path) -> Vec<PathBuf> {
    let paths = BESIDE.iter().map(|suffix| with_suffix(path, suffix));
    #[cfg(unix)]
    return paths
        .filter(|path| unix::rights_of_others(path).is_some_and(|rights| rights != 0))
        .collect();
    #[cfg(not(unix))]
    return paths.take(0).collect();
}

/// A path as it is written in a command.
fn in_shell(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) => {
            let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+".contains(it);
            if text.chars().all(is_plain) {
                text.to_owned()
            } else {
                format!("'{}'", text.replace('\'', r"'\''"))
            }
        }
        _ => shown(path),
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, Permissions};
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    /// The rights of group and others.
    pub(super) fn rights_of_others(path: &Path) -> Option<u32> {
        let meta = fs::metadata(path).ok()?;
        Some(meta.permissions().mode() & 0o077)
    }

    pub(super) fn narrow_all(folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let narrowed = narrow(&entry.path(), entry.file_type()?.is_dir());
            match narrowed {
                // The engine has removed it meanwhile.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn narrow(path: &Path, is_folder: bool) -> io::Result<()> {
        let mode = fs::symlink_metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
        }
        if is_folder {
            narrow_all(path)?;
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_may_read_is_named_with_the_way_to_mend_it() {
        let name = format!("synctable-it's-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let beside = with_suffix(&path, "-push");
        for path in [&path, &beside] {
            create_private(path).unwrap();
        }
        assert_eq!(exposure(&path), None);
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o640)).unwrap();
        let warning = exposure(&path).unwrap();
        let mend = warning.split_once("chmod ").unwrap().1;
        let done = std::process::Command::new("sh")
            .args(["-c", &format!("chmod {mend}")])
            .status();
        assert!(done.unwrap().success(), "{warning}");
        assert_eq!(exposure(&path), None);
        for path in [&path, &beside] {
            fs::remove_file(path).unwrap();
        }
    }
}
