//! Whole tables as JSON lines, in and out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, stdin};
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use synctable::query::Query;
use synctable::sync::{SyncTable, Transaction};
use synctable::{Draft, Error, IdSource as _, Record, TableName, TableSchema, UuidV7};

use super::records::for_each;
use crate::args::Globals;
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::output::Output;
use crate::progress::Progress;

/// Lines stored in one transaction.
const BATCH: usize = 500;
/// The longest line that is read.
const MAX_LINE: u64 = 16 << 20;
/// What some programs put in front of UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) async fn import(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    path: &Path,
) -> Result<Done, Failure> {
    let mut lines = Lines::open(path)?;
    let mut imported = 0;
    let began = Instant::now();
    let work = async |device: &Device| {
        let progress = Progress::new(output, "imported", None);
        import_lines(device, table, &mut lines, &mut imported, &progress).await
    };
    let result = globals.with_device(Access::Write, work).await;
    // What was kept is told even if the import ended early; what never began has nothing to tell.
    if result.is_ok() || lines.number > 0 {
        output.timed(&json!({"imported": imported}), began, || {
            format!("{imported} records imported")
        })?;
    }
    result.map(|()| Done::All)
}

async fn import_lines(
    device: &Device,
    table: &TableName,
    lines: &mut Lines,
    imported: &mut u64,
    progress: &Progress,
) -> Result<(), Failure> {
    let table: SyncTable<Record> = device.sync.table(table.as_str())?;
    let declared = device.sync.declarations();
    let declared = declared.table(table.name()).cloned().unwrap_or_default();
    let schema = declared.schema;
    loop {
        let mut batch = device.sync.transaction();
        let mut read = Ok(Read::Staged);
        while batch.len() < BATCH && matches!(read, Ok(Read::Staged)) {
            read = stage_next(lines, &table, &schema, &mut batch);
        }
        let count = batch.len() as u64;
        if count > 0 {
            batch.commit().await?;
            *imported += count;
            progress.set(*imported);
        }
        match read? {
            Read::Staged => {}
            Read::Alone(record) => {
                let stored = table.upsert(&record).await;
                stored.map_err(|error| lines.within(error))?;
                *imported += 1;
                progress.set(*imported);
            }
            Read::End => return Ok(()),
        }
    }
}

/// What became of a line.
enum Read {
    /// It is in the batch.
    Staged,
    /// It has a value that does not fit the schema. Whether that may be depends on the record that is there, so it is stored alone: if
    /// it is refused, the number of its line is known, and the lines before it are stored.
    Alone(Box<Record>),
    /// There is none.
    End,
}

/// Takes the next line into the batch.
fn stage_next(
    lines: &mut Lines,
    table: &SyncTable<Record>,
    schema: &TableSchema,
    batch: &mut Transaction,
) -> Result<Read, Failure> {
    let Some(line) = lines.next()? else {
        return Ok(Read::End);
    };
    let staged = Draft::from_json(line)
        .map_err(Error::from)
        .and_then(|draft| {
            let record = draft.or_id(|| UuidV7.next_id());
            if schema.check_record(table.name(), &record).is_err() {
                return Ok(Read::Alone(Box::new(record)));
            }
            batch.upsert(table, &record)?;
            Ok(Read::Staged)
        });
    staged.map_err(|error| lines.within(error))
}

/// The lines of a file that are not blank.
struct Lines {
    source: Box<dyn BufRead + Send>,
    name: String,
    buffer: Vec<u8>,
    /// The number of the last line that was read.
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Failure> {
        let (source, name): (Box<dyn BufRead + Send>, _) = if path == Path::new("-") {
            (Box::new(BufReader::new(stdin())), "standard input".into())
        } else {
            let name = path.display().to_string();
            let file = File::open(path)
                .and_then(|file| {
                    if file.metadata()?.is_dir() {
                        return Err(io::ErrorKind::IsADirectory.into());
                    }
                    Ok(file)
                })
                .map_err(|error| Failure::bad_input(format!("{name} cannot be read: {error}")))?;
            (Box::new(BufReader::with_capacity(256 * 1024, file)), name)
        };
        Ok(Self {
            source,
            name,
            buffer: Vec::new(),
            number: 0,
        })
    }

    fn next(&mut self) -> Result<Option<&str>, Failure> {
        loop {
            self.buffer.clear();
            let read = (&mut self.source)
                .take(MAX_LINE)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| {
                    Failure::bad_input(format!("{} cannot be read: {error}", self.name))
                })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == MAX_LINE && self.buffer.last() != Some(&b'\n') {
                return Err(self.bad("longer than 16 MiB; write one record a line"));
            }
            if self.number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(line) => Ok(Some(line.trim_end())),
            Err(_) => Err(self.bad("not UTF-8 text")),
        }
    }

    /// The failure with the place of the line, and what is stored where it is to be mended.
    fn within(&self, error: impl Into<Failure>) -> Failure {
        let failure = error
            .into()
            .within(&format!("{}, line {}", self.name, self.number));
        if failure.is_of_input() {
            failure.and(Failure::bad_input(
                "the lines before it are stored: mend it, and import the file from there",
            ))
        } else {
            failure
        }
    }

    fn bad(&self, what: &str) -> Failure {
        self.within(Failure::bad_input(what))
    }
}

pub(crate) async fn export(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        for_each(device, table, Query::all(), |record| {
            Ok(output.json_line(&record.to_json())?)
        })
        .await
    };
    globals.with_device(Access::Inspect, work).await?;
    Ok(Done::All)
}
