//! Where tests have their folders.

use tempfile::TempDir;

/// A temporary folder for a test that no medium changes: in memory, where the system has such a place with room, as stores mostly wait for
/// their disk. Else, and where `TMPDIR` says where temporary files go, it is one like all others.
///
/// What is about a disk that is full, that fails or that loses its power, or about a process that is killed, has a folder of [`tempfile::tempdir`].
///
/// # Panics
/// Where no folder can be made.
pub fn quick_folder() -> TempDir {
    #[cfg(target_os = "linux")]
    if std::env::var_os("TMPDIR").is_none() && has_room(in_memory::free()) {
        // Where it may not be made there, it is made elsewhere.
        if let Ok(folder) = tempfile::tempdir_in(in_memory::PLACE) {
            return folder;
        }
    }
    tempfile::tempdir().expect("a temporary folder")
}

/// Several times what the tests of a suite take at once. A container often has 64 MiB there, which is too little.
#[cfg(target_os = "linux")]
const ROOM: u64 = 512 * 1024 * 1024;

#[cfg(target_os = "linux")]
fn has_room(free: Option<u64>) -> bool {
    free.is_some_and(|free| free >= ROOM)
}

#[cfg(target_os = "linux")]
mod in_memory {
    pub(super) const PLACE: &str = "/dev/shm";

    /// Bytes that are free, where there is such a place.
    pub(super) fn free() -> Option<u64> {
        let space = rustix::fs::statvfs(PLACE).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_room_is_left_alone() {
        assert!(!has_room(None));
        assert!(!has_room(Some(64 * 1024 * 1024)));
        assert!(has_room(Some(ROOM)));
    }

    #[test]
    fn the_folder_is_there_and_goes() {
        let folder = quick_folder();
        let path = folder.path().to_owned();
        let in_memory = path.starts_with(in_memory::PLACE);
        if std::env::var_os("TMPDIR").is_none() {
            assert_eq!(in_memory, has_room(in_memory::free()));
        }
        drop(folder);
        assert!(!path.exists());
    }
}
