//! Push: sends the queue in order.

pub(crate) mod answer;
pub(crate) mod batch;
mod chain;
mod conclude;
pub(crate) mod course;
pub(crate) mod deliver;
mod group;
pub(crate) mod key;
pub(crate) mod lease;
pub(crate) mod mark;
pub(crate) mod meaning;
mod orders;
mod ours;
mod outgoing;
mod partial;
pub(crate) mod patience;
pub(crate) mod policy;
pub(crate) mod report;
mod request;
mod run;
pub(crate) mod settle;
mod turn;
mod unit;
mod walk;

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::name::TableName;
use crate::sync::cancel::CancelToken;
use crate::sync::context::SyncContext;
use crate::sync::event::Event;
use crate::sync::inner::Inner;
use crate::sync::push::orders::Orders;
use crate::sync::push::report::PushReport;
use crate::sync::push::run::Run;
use crate::sync::server::Link;
use crate::threads::{BoxFuture, boxed};

/// A push to be awaited. Made by [`SyncContext::push`].
///
/// Operations go out in the order in which they were queued, over all tables, one after the other; where the server
/// [takes several in one request](crate::transport::TransportCapabilities::batches), up to 512 travel together, in that order. One record never
/// holds up the others: an operation at which the server fails is left aside, others go on, and it is tried once more at the end; what
/// that comes to is in the report. After three failures of one table in a row the rest of it waits for the end, too. Content that the
/// server refuses waits for you at once, and so does what fails three times while the server is seen to do others.
///
/// Where nothing can be sent, as the server cannot be reached, fails at everything or refuses the credentials, the push stops with
/// [`Error::PushStopped`]. Dropping the future is safe at any time: what was sent without an answer is found out before it is sent again.
///
/// Of the processes that have one store open one pushes at a time; the push of another is stopped with [`Error::AnotherPusher`].
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct Push {
    context: SyncContext,
    orders: Orders,
    /// Where it goes; `None`: to the server of the moment in which it begins.
    link: Option<Arc<Link>>,
}

impl SyncContext {
    /// Sends the queue to the server.
    pub fn push(&self) -> Push {
        Push {
            context: self.clone(),
            orders: Orders::default(),
            link: None,
        }
    }
}

impl Push {
    /// How many requests may be at the server at once. They are always on different records; order between records is kept only with 1, the
    /// default. Where operations travel together, two of these requests are there at most, which is what a slow line needs.
    pub fn parallel(mut self, operations: usize) -> Self {
        self.orders.parallel = operations.clamp(1, chain::GROUP);
        self
    }

    /// Stops when `token` is cancelled.
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.orders.cancel = token.clone();
        self
    }

    /// Sends the operations of these tables only.
    pub fn tables(mut self, tables: impl IntoIterator<Item = TableName>) -> Self {
        self.orders.tables = Some(tables.into_iter().collect());
        self
    }

    /// To this server, as part of a call that began with it.
    pub(crate) fn over(mut self, link: &Arc<Link>) -> Self {
        self.link = Some(Arc::clone(link));
        self
    }

    /// Sends, asks the application about what is in conflict, and sends what it decided.
    async fn send_and_ask(&self, link: &Arc<Link>, report: &mut PushReport) -> Result<(), Error> {
        let (inner, mut asked) = (&self.context.inner, HashMap::new());
        loop {
            {
                let _push = inner.guards.push.lock().await;
                inner.reload_queue().await?;
                let course = Mutex::default();
                let mut run = Run::new(&self.orders, inner, link, &course).await?;
                run.whole(report).await?;
            }
            let (tables, cancel) = (self.orders.tables.as_deref(), &self.orders.cancel);
            let asking = self.context.ask_about_conflicts(tables, cancel, &mut asked);
            if !asking.await? {
                return Ok(());
            }
        }
    }

    async fn run(self) -> Result<PushReport, Error> {
        let inner = &self.context.inner;
        let mut report = PushReport::default();
        // All rounds of it go there, however long the application thinks about its decisions.
        let link = self.link.clone().unwrap_or_else(|| inner.server.link());
        let result = self.send_and_ask(&link, &mut report).await;
        inner.tidy_queue().await;
        let counted = inner.count_queue(&mut report).await;
        match result.and(counted) {
            Ok(()) => {
                inner.listeners.emit(Event::PushFinished(report));
                Ok(report)
            }
            Err(source) => Err(Error::PushStopped {
                report: Box::new(report),
                source: Box::new(source),
            }),
        }
    }
}

impl Inner {
    /// What is left of the queue, for the report.
    async fn count_queue(&self, report: &mut PushReport) -> Result<(), Error> {
        let parked = self.queue.count_parked().await?;
        (report.conflicts, report.rejected) = (parked.conflicts, parked.rejected);
        report.pending = self.queue.count().await?;
        Ok(())
    }
}

impl IntoFuture for Push {
    type Output = Result<PushReport, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.run())
    }
}
