//! A copy of the store as it is at one moment, while this process and others read and write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{slice, thread};

use synctable_core::store::{StoreError, WriteBatch};
use synctable_kv::files::{self, Draft, Taken, io_error};
use tokio::sync::oneshot;

use crate::catalogue::Catalogue;
use crate::error::no_threads;
use crate::open::{self, Options};
use crate::place;
use crate::pool::Shared;
use crate::writer::Writer;

/// Makes the copy on a thread of its own, which goes on to its end also where nobody waits for the answer any more.
pub(crate) fn start(
    options: Options,
    target: PathBuf,
    mark: WriteBatch,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
    let (reply, answer) = oneshot::channel();
    thread::Builder::new()
        .name("synctable-sqlite-backup".into())
        .spawn(move || {
            let _ = reply.send(backup(options, &target, &mark));
        })
        .map_err(no_threads)?;
    Ok(answer)
}

fn backup(mut options: Options, target: &Path, mark: &WriteBatch) -> Result<(), StoreError> {
    let target = std::path::absolute(target).map_err(|error| io_error(target, error))?;
    files::check_vacant(&target)?;
    files::remove_dead_drafts_around(&target);
    let draft = Draft::of_file(&target)?;
    {
        // One statement of a connection of its own sees one moment, and nobody waits for it.
        let source = open::open_source(&options)?;
        open::copy_into(&source, draft.path()).map_err(|error| open::at_path(&target, error))?;
        if let Some(only_read) = &options.only_read {
            only_read.check()?;
        }
    }
    draft.path().clone_into(&mut options.path);
    options.create = false;
    // What is copied is still there as it was.
    options.keep_earlier = false;
    options.only_read = None;
    let conn = open::open(&options)?;
    let shared = Arc::new(Shared::new(Catalogue::load(&conn)?, None));
    let file = place::opened(&options.path)?;
    let wal = place::beside(&options.path, "-wal");
    let mut writer = Writer::new(conn, file, wal, shared, options.wait);
    if !mark.writes().is_empty() {
        for marked in writer.commit(slice::from_ref(mark)) {
            marked?;
        }
    }
    writer.close()?;
    draft.place(Taken::Refused)
}
