//! Backups: a copy of a store as it is at one moment, which knows what it is when it is opened.
//!
//! What is restored is an older state of a device that went on. It may have pushed what is still queued in the copy, and it may go on beside the
//! copy. So the copy takes a name of its own when it is first opened, and asks about each operation before it sends it.

use std::collections::HashSet;
use std::path::Path;

use crate::clock::IdSource;
use crate::error::Error;
use crate::name::RecordId;
use crate::query::Query;
use crate::record::Record;
use crate::store::{LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use crate::sync::admin::copy::{self, CLAIM, identity};
use crate::sync::context::SyncContext;
use crate::sync::identity::session::Home;
use crate::sync::push::key::new_key;
use crate::sync::queue::operation::{Operation, OperationState};
use crate::sync::system::{
    ATTEMPTS, DELTA, DeltaToken, LeaseRow, META, OPERATIONS, meta_row, read,
};

/// The row that says that a store is a backup which was not opened yet. It names the store that it was made of.
const MARK: &str = "backup";
/// Rows that are read at once.
const PAGE: u32 = 1000;

/// Makes a copy of a store as it is at one moment: a file, or a folder for an engine that keeps its data in one. Others read and write
/// meanwhile, or wait, as the engine can. A sealed store's copy is sealed under the same keys.
///
/// Whatever cuts it off, all of it is at `path` or nothing is. To restore it, open it: see [`SyncContext::backup`].
///
/// # Errors
/// [`Unsupported`](StoreErrorKind::Unsupported) for a store that has no files, [`NotAStore`](StoreErrorKind::NotAStore) if something is at
/// `path` or the store is no whole store, and those of the store.
pub async fn backup_store(store: &dyn LocalStore, path: &Path) -> Result<(), Error> {
    if copy::is_unfinished(store).await? {
        return Err(copy::unfinished().into());
    }
    let mut mark = WriteBatch::new();
    // The store of a server has no such identity; what is restored of it is the same server.
    if let Some(id) = identity(store).await? {
        mark = mark.put(&META, meta_row(MARK, &id)?);
    }
    Ok(store.backup(path, mark).await?)
}

impl SyncContext {
    /// Makes a copy of the store as it is at one moment at `path`, where nothing may be: records, declarations, the queue, parked conflicts,
    /// positions of pulls. The application goes on meanwhile. Whatever cuts it off, all of it is there or nothing is.
    ///
    /// To restore it, open it as a store. The first context that does so draws a new identity of the store, and takes each queued operation
    /// for one that may have been sent: this device has perhaps pushed it since. So the next push asks the server before it sends, and
    /// nothing is done twice. Pulls go on from the positions of the copy, with the overlap that a server without an order of commits gets. What was
    /// removed at the server longer ago than it remembers removals, an [audit](crate::sync::Audit) finds.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) for a store that has no files, [`NotAStore`](StoreErrorKind::NotAStore) if something is at
    /// `path`, and those of the store.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        backup_store(self.inner.store.as_ref(), path.as_ref()).await
    }
}

/// Makes a backup that is opened for the first time a device of its own, in one commit.
pub(crate) async fn settle(store: &dyn LocalStore, ids: &dyn IdSource) -> Result<(), Error> {
    let id = RecordId::system(MARK);
    for _ in 0..ATTEMPTS {
        let Some(mark) = store.get_one(&META, &id).await? else {
            return Ok(());
        };
        match store.commit(settled(store, ids, mark).await?).await {
            // Another context was faster, or changes the queue.
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
            result => return Ok(result.map(|_| ())?),
        }
    }
    Err(Error::Contended)
}

async fn settled(
    store: &dyn LocalStore,
    ids: &dyn IdSource,
    mark: Record,
) -> Result<WriteBatch, Error> {
    let store_id = ids.next_id();
    let mut batch = WriteBatch::new()
        .delete(&META, mark.id())
        .expect_same(&META, mark)
        .put(&META, meta_row("store", store_id.as_str())?)
        // Of processes that are not there.
        .delete(&META, &RecordId::system(CLAIM))
        .delete(&META, &LeaseRow::id());
    let home: Option<Home> = match store.get_one(&META, &Home::id()).await? {
        Some(row) => Some(read(&META, &row)?),
        None => None,
    };
    let account = home.and_then(|home| home.account);
    // Only what comes first on a record may have been sent: what is behind it waited.
    let mut seen = HashSet::new();
    let query = Query::all().page(PAGE);
    for row in store.query_all(&OPERATIONS, &query).await? {
        let mut operation = Operation::from_row(&row)?;
        let is_first = seen.insert((operation.table.clone(), operation.id.clone()));
        if !is_first || operation.state != OperationState::Pending {
            continue;
        }
        if operation.key.is_none() {
            let random = ids.next_id();
            operation.key = Some(new_key(
                store_id.as_str(),
                account.as_deref(),
                &operation,
                &random,
            ));
            operation.account.clone_from(&account);
        }
        operation.state = OperationState::Attempted;
        batch = batch
            .expect_same(&OPERATIONS, row)
            .put(&OPERATIONS, operation.to_row()?);
    }
    for row in store.query_all(&DELTA, &query).await? {
        batch = match DeltaToken::from_row(&row) {
            // The first pull reads once more what it may have missed.
            Ok(mut token) => {
                token.ordered = false;
                batch.put(&DELTA, token.to_row()?)
            }
            // It begins anew.
            Err(_) => batch.delete(&DELTA, row.id()),
        };
    }
    Ok(batch)
}
