//! The parts of a context. Each stands for itself; what needs several of them is written where it belongs, over [`Inner`].

use std::sync::Arc;

use crate::clock::{Clock, IdSource};
use crate::error::Error;
use crate::schema::Steps;
use crate::store::LocalStore;
use crate::sync::decide::questions::Questions;
use crate::sync::event::Listeners;
use crate::sync::guards::Guards;
use crate::sync::push::lease::Lease;
use crate::sync::queue::index::Queue;
use crate::sync::server::Server;
use crate::sync::settings::Settings;
use crate::sync::tables::Tables;
use crate::sync::words::row::KeptValues;

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn LocalStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    /// Marks this store in the keys that servers use to recognise repeats.
    pub(crate) store_id: String,
    pub(crate) settings: Settings,
    pub(crate) tables: Tables,
    /// The steps whose words everything here is in, but for what is queued in older ones.
    pub(crate) steps: Arc<Steps>,
    /// Values that did not fit the type that a step gave them.
    pub(crate) kept: Vec<KeptValues>,
    pub(crate) queue: Queue,
    pub(crate) guards: Guards,
    /// One pushing process at a time.
    pub(crate) lease: Lease,
    pub(crate) server: Server,
    pub(crate) questions: Questions,
    pub(crate) listeners: Listeners,
}

impl Inner {
    /// Reads the whole queue from the store, after every change that is under way.
    pub(crate) async fn reload_queue(&self) -> Result<(), Error> {
        let _queue = self.guards.queue.write().await;
        self.queue.reload().await
    }
}
