//! A disk whose power can be cut: a file system in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::lab::{Child, output};

/// The size of a disk; what is never written takes no room.
const SIZE: u64 = 64 << 20;
/// The only thing that makes the system write is the store: nothing is written because some time has passed.
const OPTIONS: &str = "loop,noatime,commit=600";

/// The disk, in use until it is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    place: TempDir,
    mounted: PathBuf,
    copies: u64,
}

impl Disk {
    /// An empty disk; `Err` says why there can be none here.
    pub(super) fn new() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("the power is cut on Linux only".to_owned());
        }
        let place = tempfile::tempdir().expect("a temporary folder");
        let mounted = place.path().join("disk");
        fs::create_dir(&mounted).expect("a folder in a temporary folder");
        let disk = Self {
            place,
            mounted,
            copies: 0,
        };
        let image = File::create(disk.image()).expect("a file in a temporary folder");
        image.set_len(SIZE).expect("a file with a hole");
        let mkfs = [
            "-q",
            "-F",
            "-m",
            "0",
            "-J",
            "size=4",
            "-E",
            "lazy_itable_init=0,nodiscard",
        ];
        run(Command::new("mkfs.ext4").args(mkfs).arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.place.path().join(format!("image-{}", self.copies))
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        let (image, folder) = (self.image(), &self.mounted);
        run(mount
            .args(["-t", "ext4", "-o", OPTIONS])
            .arg(image)
            .arg(folder))
    }

    /// The folder for the store.
    pub(super) fn folder(&self) -> &Path {
        &self.mounted
    }

    /// Cuts the power under `child`, which is at work on this disk, and ends it. From now on the disk holds what was
    /// written at that moment.
    pub(super) fn cut(&mut self, child: &mut Child) {
        child.stop();
        let old = self.image();
        let device = self.device();
        self.copies += 1;
        // What was under way when the child was stopped may go on for a moment.
        loop {
            let before = writes(&device);
            let copied = run(Command::new("cp").arg(&old).arg(self.image()));
            copied.expect("the disk is copied");
            if before == writes(&device) {
                break;
            }
        }
        child.kill();
        self.unmount().expect("the old disk is let go of");
        fs::remove_file(&old).expect("the old disk is removed");
        self.mount().expect("the copy of the disk is used");
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.mounted))
            .or_else(|_| run(Command::new("umount").arg("-l").arg(&self.mounted)))
    }

    /// The name of the device under the disk, such as `loop0`.
    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts of this process");
        let mount = mounts.lines().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            (Path::new(rest.split(' ').next()?) == self.mounted).then_some(device)
        });
        let device = mount.and_then(|device| device.strip_prefix("/dev/"));
        device.expect("the disk is mounted").to_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing is mounted if the disk could not be made.
        let _ = self.unmount();
    }
}

/// How many writes and flushes the device has done, and how many it is doing.
fn writes(device: &str) -> Vec<String> {
    let statistics = fs::read_to_string(format!("/sys/block/{device}/stat"));
    let statistics = statistics.expect("the device has statistics");
    let numbers: Vec<_> = statistics.split_whitespace().map(str::to_owned).collect();
    [4, 8, 15]
        .iter()
        .filter_map(|&at| numbers.get(at).cloned())
        .collect()
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match output(command) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!(
                "{name} fails: {}",
                errors.trim().replace('\n', " ")
            ))
        }
        Err(error) => Err(format!("{name} cannot be started: {error}")),
    }
}
