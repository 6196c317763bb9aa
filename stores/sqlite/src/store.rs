//! The store itself.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities, StoreError,
    WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::files::io_error;

use crate::backup;
use crate::catalogue::{self, Catalogue};
use crate::error::closed;
use crate::follow::Follow;
use crate::lock;
use crate::log::{Answer, Log};
use crate::open::{self, Options};
use crate::place;
use crate::pool::{NotNow, Pool, Reader, Shared};
use crate::queue::Queue;
use crate::read;
use crate::writer::{InFile, Writer};

/// A store in one SQLite file.
///
/// Every table is a real SQL table with one column per declared field, so any SQLite tool can read it.
/// Several handles and several processes may open the same file at once.
///
/// ```
/// use synctable_core::store::{LocalStore, LocalStoreExt, WriteBatch};
/// use synctable_core::{Record, Schema, TableName, TableSchema};
/// use synctable_sqlite::SqliteStore;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let folder = tempfile::tempdir().unwrap();
/// let store = SqliteStore::open(folder.path().join("app.db")).unwrap();
/// let table = TableName::new("todo").unwrap();
/// store.define(&Schema::new().with_table(table.clone(), TableSchema::new())).await.unwrap();
///
/// let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#).unwrap();
/// store.commit(WriteBatch::new().put(&table, milk.clone())).await.unwrap();
/// assert_eq!(store.get_one(&table, milk.id()).await.unwrap(), Some(milk));
/// # });
/// ```
pub struct SqliteStore {
    options: Options,
    shared: Arc<Shared>,
    // Dropped in this order: the connection that writes closes last and so leaves no log file behind.
    pool: Pool,
    writes: Writes,
}

/// What becomes of writes.
enum Writes {
    Done(Queue),
    /// The store is open for reading only.
    Refused(Follow),
}

/// How to open a store; made by [`SqliteStore::builder`].
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// use synctable_sqlite::SqliteStore;
/// assert!(SqliteStore::builder(&path).create(false).open().is_err());
/// let store = SqliteStore::builder(&path).cache(64 << 20).readers(4).open().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct SqliteBuilder {
    options: Options,
    inline: bool,
}

impl SqliteStore {
    /// Opens the store at `path`; makes it where there is no file.
    ///
    /// A file that is not a store of this kind is refused and stays as it is. This call reads and
    /// writes the disk, for some milliseconds.
    ///
    /// # Errors
    /// Of the kinds [`NotAStore`](synctable_core::store::StoreErrorKind::NotAStore), `Corrupt`, `FormatTooNew`,
    /// `Permission`, `Locked`, `Full` or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open()
    }

    /// Opens the store at `path` for reading only: nothing in its folder is written, not even by a format upgrade.
    ///
    /// Reads show what [`open`](Self::open) would show, also what lies in the write-ahead log alone after a crash, and files of earlier releases
    /// as they are. It works where the medium may not be written, where the disk is full, and beside processes that write. Where there is
    /// a log and nobody has the store open, file and log are read from a private copy in the folder for temporary files, or in memory where
    /// the system lends that as a folder.
    ///
    /// Every `commit`, and a `define` of something new, fails with [`Unsupported`](synctable_core::store::StoreErrorKind::Unsupported). Where another process
    /// begins to write later, reads fail with [`Locked`](synctable_core::store::StoreErrorKind::Locked) until the store is opened again.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open_read_only()
    }

    /// Settings for opening the store at `path`.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder {
            options: Options {
                path: path.as_ref().to_owned(),
                create: true,
                cache: 16 << 20,
                readers: 2,
                wait: Duration::from_secs(10),
                keep_earlier: true,
                only_read: None,
            },
            inline: true,
        }
    }
}

impl SqliteBuilder {
    /// Whether a missing file is made (the default) or an error.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.options.create = create;
        self
    }

    /// How many bytes of the file the writing connection keeps in memory at most, and the reading one that is used most; others keep half of
    /// that or less. Default 16 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.options.cache = bytes;
        self
    }

    /// How many reads can run at the same time; at least 1, default 2.
    #[must_use]
    pub fn readers(mut self, connections: usize) -> Self {
        self.options.readers = connections;
        self
    }

    /// How long a call waits for another process that writes, before it fails with
    /// [`Locked`](synctable_core::store::StoreErrorKind::Locked). Default 10 s.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.options.wait = time;
        self
    }

    /// Whether a copy of a store of an earlier format is [kept](synctable_kv::files::keep_earlier) before it is brought forward, at `NAME.format-1`. Default true.
    #[must_use]
    pub fn keep_earlier(mut self, keep: bool) -> Self {
        self.options.keep_earlier = keep;
        self
    }

    /// Whether a small commit that comes alone is done on the thread that awaits it, which saves waking another
    /// thread but holds up whatever else runs there for one sync of the disk. Default true.
    #[must_use]
    pub fn inline_commits(mut self, inline: bool) -> Self {
        self.inline = inline;
        self
    }

    /// Opens the store.
    pub fn open(mut self) -> Result<SqliteStore, StoreError> {
        // An absolute path cannot be taken for a URI or for one of SQLite's special names.
        self.options.path = std::path::absolute(&self.options.path)
            .map_err(|error| io_error(&self.options.path, error))?;
        let conn = open::open(&self.options)?;
        let wal = place::beside(&self.options.path, "-wal");
        let database = InFile {
            conn: &conn,
            wal: &wal,
        };
        let changes = place::beside(&self.options.path, "-changes");
        let log = Log::open(changes, self.options.wait, &database)?;
        let shared = Arc::new(Shared::new(Catalogue::load(&conn)?, Some(log)));
        let file = place::opened(&self.options.path)?;
        let writer = Writer::new(conn, file, wal, Arc::clone(&shared), self.options.wait);
        let queue = Queue::start(writer, self.inline)?;
        let pool = Pool::open(&self.options, &shared)?;
        Ok(SqliteStore {
            options: self.options,
            shared,
            pool,
            writes: Writes::Done(queue),
        })
    }

    /// Opens the store for reading only: see [`SqliteStore::open_read_only`].
    pub fn open_read_only(mut self) -> Result<SqliteStore, StoreError> {
        self.options.path = std::path::absolute(&self.options.path)
            .map_err(|error| io_error(&self.options.path, error))?;
        let source = open::open_only_read(&self.options.path, self.options.wait)?;
        self.options.only_read = Some(Arc::new(source));
        let conn = open::open_reader(&self.options)?;
        let shared = Arc::new(Shared::new(Catalogue::load(&conn)?, None));
        let pool = Pool::open(&self.options, &shared)?;
        Ok(SqliteStore {
            writes: Writes::Refused(Follow::new(conn)?),
            options: self.options,
            shared,
            pool,
        })
    }
}

impl SqliteStore {
    /// Answers on this thread where that is quick, else on a thread of the pool; there at once, where it is known to be long.
    async fn read<A, T>(
        &self,
        read: Read<A, T>,
        table: &TableName,
        asked: &A,
        is_long: bool,
    ) -> Result<T, StoreError>
    where
        A: ToOwned + Sync + ?Sized + 'static,
        A::Owned: Send + Sync,
        T: Send + 'static,
    {
        let shared = &self.shared;
        let here = if is_long {
            Err(NotNow::TooLong)
        } else {
            self.pool
                .inline(|reader| read(reader, shared, table, asked))
        };
        let why = match here {
            Ok(result) => return result,
            Err(why) => why,
        };
        let (shared, table, asked) = (Arc::clone(shared), table.clone(), asked.to_owned());
        self.pool
            .off_thread(why, move |reader| {
                read(reader, &shared, &table, asked.borrow())
            })
            .await
    }
}

impl SqliteStore {
    /// What the change log answers, here and now.
    fn known<T>(&self, ask: impl FnOnce(&Log) -> Answer<T>) -> Result<T, StoreError> {
        let Answer { value, look } = ask(self.shared.log().ok_or_else(closed)?);
        if look && let Writes::Done(queue) = &self.writes {
            queue.look();
        }
        Ok(value)
    }

    fn queue(&self) -> Result<&Queue, StoreError> {
        match &self.writes {
            Writes::Done(queue) => Ok(queue),
            Writes::Refused(_) => Err(StoreError::read_only()),
        }
    }

    /// Whether others may write while this handle only reads.
    fn is_beside(&self) -> bool {
        let only_read = self.options.only_read.as_ref();
        only_read.is_none_or(|source| source.changes())
    }
}

/// A read of one table: what is asked is ids or a query.
type Read<A, T> = fn(&Reader, &Shared, &TableName, &A) -> Result<T, StoreError>;

#[async_trait]
impl LocalStore for SqliteStore {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.shared.check_open()?;
        // Where nothing is new nothing is written: whoever only reads never waits for another process that writes.
        if catalogue::grown(&self.schema().await?, schema)?.is_none() {
            return Ok(());
        }
        self.queue()?.define(schema.clone()).await
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        let shared = &self.shared;
        let here = self.pool.inline(|reader| read::schema(reader, shared));
        let why = match here {
            Ok(result) => return result,
            Err(why) => why,
        };
        let shared = Arc::clone(shared);
        self.pool
            .off_thread(why, move |reader| read::schema(reader, &shared))
            .await
    }

    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.shared.check_open()?;
        if self.schema().await?.table(table) == Some(declaration) {
            return Ok(());
        }
        let (table, declaration) = (table.clone(), declaration.clone());
        self.queue()?.redefine(table, declaration).await
    }

    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.read(read::get, table, ids, read::is_long(ids)).await
    }

    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.read(read::query, table, query, false).await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.shared.check_open()?;
        self.queue()?.commit(batch).await
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.shared.check_open()?;
        match &self.writes {
            Writes::Done(_) => self.known(Log::position),
            Writes::Refused(follow) => follow.position(),
        }
    }

    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.shared.check_open()?;
        match &self.writes {
            Writes::Done(_) => self.known(|log| log.since(since, limit)),
            Writes::Refused(follow) => follow.since(since, limit),
        }
    }

    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.read(read::count, table, query, false).await
    }

    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.read(read::explain, table, query, false).await
    }

    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::default()
            .with_persistent(true)
            .with_durable(true)
            .with_multi_process(self.is_beside())
            .with_ordered_commits(true)
            .with_indexes(true)
            .with_background_reads(true)
            .with_redefines(true)
            .with_read_only(matches!(self.writes, Writes::Refused(_)))
    }

    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.shared.check_open()?;
        Ok(match self.writes {
            Writes::Done(_) => lock::try_lock(&self.options.path),
            // It would be a file.
            Writes::Refused(_) => ProcessLock::Unsupported,
        })
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        self.shared.check_open()?;
        backup::start(self.options.clone(), path.to_owned(), mark)?
            .await
            .map_err(|_| closed())?
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.shared.set_closed() {
            self.pool.close();
            let closed = match &self.writes {
                Writes::Done(queue) => queue.close().await,
                Writes::Refused(follow) => {
                    follow.close();
                    Ok(())
                }
            };
            if let Some(log) = self.shared.log() {
                log.close();
            }
            closed
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.options.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
