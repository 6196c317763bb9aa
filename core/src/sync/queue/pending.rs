//! The queue as applications read it: whole, or page by page.

use std::future::IntoFuture;

use crate::error::Error;
use crate::query::{Cursor, Query};
use crate::record::Record;
use crate::store::LocalStoreExt;
use crate::sync::context::SyncContext;
use crate::sync::queue::operation::Operation;
use crate::sync::system::{OPERATIONS, seq_id};
use crate::threads::{BoxFuture, boxed};

/// The operations that wait. Await it for all of them, oldest first; a long queue is read [page](Self::page) by page.
///
/// ```
/// # async fn example(sync: synctable_core::sync::SyncContext) -> Result<(), synctable_core::Error> {
/// for operation in sync.pending().await? {
///     println!("{} {} {}", operation.seq, operation.table, operation.id);
/// }
/// let mut after = None;
/// loop {
///     let page = sync.pending().page(100).after(after).await?;
///     println!("{} more", page.operations.len());
///     after = page.next;
///     if after.is_none() { break; }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct Pending(SyncContext);

/// One page of the queue. Await it.
#[derive(Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct PendingPage {
    context: SyncContext,
    count: u32,
    after: Option<u64>,
}

/// Some operations of the queue, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationPage {
    /// The operations.
    pub operations: Vec<Operation>,
    /// Behind which number the next page starts, if there is one.
    pub next: Option<u64>,
}

impl SyncContext {
    /// The queue, oldest first, parked operations too.
    pub fn pending(&self) -> Pending {
        Pending(self.clone())
    }

    /// One queued operation.
    pub async fn operation(&self, seq: u64) -> Result<Operation, Error> {
        match self.inner.store.get_one(&OPERATIONS, &seq_id(seq)).await? {
            Some(row) => self.as_shown(&row),
            None => Err(Error::NoSuchOperation { seq }),
        }
    }

    /// An operation in the words of the application, whatever goes out.
    fn as_shown(&self, row: &Record) -> Result<Operation, Error> {
        Ok(Operation::from_row(row)?.in_newest(&self.inner.steps))
    }
}

impl Pending {
    /// One page of at most `count` operations, at least one. What is sent or changed meanwhile makes no page skip or repeat another operation.
    pub fn page(self, count: u32) -> PendingPage {
        PendingPage {
            context: self.0,
            count: count.max(1),
            after: None,
        }
    }

    async fn all(self) -> Result<Vec<Operation>, Error> {
        let (context, query) = (&self.0, Query::all().page(1000));
        let rows = context.inner.store.query_all(&OPERATIONS, &query).await?;
        rows.iter().map(|row| context.as_shown(row)).collect()
    }
}

impl PendingPage {
    /// The page behind the operation of this number: [`next`](OperationPage::next) of the page before.
    pub fn after(mut self, seq: Option<u64>) -> Self {
        self.after = seq;
        self
    }

    async fn read(self) -> Result<OperationPage, Error> {
        let behind = self.after.map(|seq| Cursor::behind(seq_id(seq)));
        let query = Query::all().page(self.count).after(behind);
        let page = self.context.inner.store.query(&OPERATIONS, &query).await?;
        let read = page.records.iter().map(|row| self.context.as_shown(row));
        let operations = read.collect::<Result<Vec<Operation>, Error>>()?;
        let last = operations.last().map(|operation| operation.seq);
        Ok(OperationPage {
            operations,
            next: last.filter(|_| page.next.is_some()),
        })
    }
}

impl IntoFuture for Pending {
    type Output = Result<Vec<Operation>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.all())
    }
}

impl IntoFuture for PendingPage {
    type Output = Result<OperationPage, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.read())
    }
}
