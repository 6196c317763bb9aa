//! Cuts of the power: what was acknowledged as `Immediate` is there afterwards.
//!
//! A child writes on a file system of its own in a file. It is stopped, and the file is copied: the copy has what had
//! reached the disk, and nothing that the system still holds in memory. The store in the copy must have every batch up
//! to the last `Immediate` one that was acknowledged, and perhaps some of those after it in their order.
//!
//! Needs Linux, root, loop devices and `mkfs.ext4`. `SYNCTABLE_CUTS` sets how many cuts there are.

mod disk;

use std::fs;

use self::disk::Disk;
use crate::Harness;
use crate::lab::{Child, End, Job, Lab, Said, Trial};

/// The power is cut before a child has made so many batches.
const MOST_BATCHES: u64 = 80;

/// One disk for the whole loop; every tenth time the power is cut again while the store is opened.
pub async fn cut_power_takes_nothing_immediate<H: Harness>(_: &H, lab: &Lab) {
    let mut disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => return lab.not_run(&why),
    };
    let mut trial = Trial::new(lab, End::Cut, lab.random());
    for cycle in 0..lab.cuts() {
        let mut child = trial.writer(disk.folder());
        trial.hear(&mut child, MOST_BATCHES);
        trial.pause(1500);
        cut(&mut trial, &mut disk, &mut child, "cuts");
        if cycle % 10 == 9 {
            let mut child = trial.opener(disk.folder());
            trial.pause(4000);
            cut(&mut trial, &mut disk, &mut child, "cuts while opening");
        }
        trial.check::<H>(disk.folder()).await;
        lab.progress("cuts", cycle + 1, lab.cuts());
    }
    lab.count("acknowledged", trial.acknowledged());
}

fn cut(trial: &mut Trial<'_>, disk: &mut Disk, child: &mut Child, what: &str) {
    disk.cut(child);
    trial.hear_rest(child);
    trial.lab().count(what, 1);
}

/// The test itself is tested: a file that is written and not synced does not survive.
pub async fn cut_power_takes_what_is_not_synced<H: Harness>(_: &H, lab: &Lab) {
    let mut lost = 0;
    for _ in 0..3 {
        let mut disk = match Disk::new() {
            Ok(disk) => disk,
            Err(why) => return lab.not_run(&why),
        };
        let mut child = lab.start(disk.folder(), Job::Append);
        while child.next() != Some(Said::Acknowledged { number: 50 }) {}
        disk.cut(&mut child);
        let mut acknowledged = 50;
        while let Some(Said::Acknowledged { number }) = child.next() {
            acknowledged = number;
        }
        let text = fs::read_to_string(disk.folder().join(Job::APPENDED)).unwrap_or_default();
        lost += acknowledged.saturating_sub(text.lines().count() as u64);
    }
    assert!(lost > 0, "a cut loses nothing here, so it proves nothing");
}
