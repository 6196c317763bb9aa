//! Disks that take no writes: mounted for reading only, and full ones.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{
    KINDS, Tree, assert_refuses_writes, assert_whole, begun, copy_all, killed, read_only, url,
};

/// A small disk in memory, in use until it is dropped.
struct Disk(TempDir);

impl Disk {
    /// `None`, with the reason printed, where this process may mount nothing.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = ["-t", "tmpfs", "-o", "size=24m", "synctable-test"];
        match run("mount", &disk, folder.path()) {
            Ok(()) => Some(Self(folder)),
            Err(reason) => {
                println!("skipped: no disk can be mounted here: {reason}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// From now on nothing can be written.
    fn protect(&self) {
        run("mount", &["-o", "remount,ro"], self.path()).unwrap();
    }

    /// Leaves no room, not for one byte.
    fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], self.path());
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(folder).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each kind of store on a disk, closed and as a killed process leaves it.
async fn stores() -> Option<Vec<(String, Disk)>> {
    let mut disks = Vec::new();
    for kind in KINDS {
        let closed = Disk::new()?;
        begun(kind, closed.path()).await.close().await.unwrap();
        disks.push((format!("{kind}:closed"), closed));
        let (left, disk) = (killed(kind).await, Disk::new()?);
        copy_all(left.path(), disk.path());
        disks.push((format!("{kind}:killed"), disk));
    }
    Some(disks)
}

async fn assert_read(what: &str, disk: &Disk) {
    let (kind, _) = what.split_once(':').unwrap();
    let before = Tree::of(disk.path());
    let store = read_only(&url(kind, disk.path()));
    assert_whole(&store, what).await;
    assert_refuses_writes(store.as_ref(), what).await;
    store.close().await.unwrap();
    drop(store);
    before.assert_still(disk.path(), what);
}

#[tokio::test]
async fn a_medium_that_may_not_be_written_is_read() {
    let Some(disks) = stores().await else { return };
    for (what, disk) in &disks {
        disk.protect();
        assert!(fs::write(disk.path().join("new"), "x").is_err(), "{what}");
        assert_read(what, disk).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_read() {
    let Some(disks) = stores().await else { return };
    for (what, disk) in &disks {
        disk.fill();
        assert_read(what, disk).await;
    }
}
