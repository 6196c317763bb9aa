//! A client of a simulation: a disk that outlives it, and the program that runs over it until it crashes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use synctable_core::sync::{ConflictPolicy, SyncContext};
use synctable_core::transport::Transport;
use synctable_core::{Clock, Error, IdSource, RecordId, Schema, Sleep, Timestamp};
use tokio::task::yield_now;

use super::dice::Dice;
use super::disk::Disk;
use crate::fixture::Store;

/// A clock that jumps.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<i64>);

impl Watch {
    pub(crate) fn jump(&self, millis: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += millis;
    }
}

#[derive(Debug, Clone)]
struct Shared<T>(Arc<T>);

impl Clock for Shared<Watch> {
    fn now(&self) -> Timestamp {
        let millis = *self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        Timestamp::from_ticks(16_000_000_000_000_000).plus_millis(millis)
    }
}

/// Ids from the dice.
#[derive(Debug)]
struct Ids(Arc<Mutex<Dice>>);

impl IdSource for Ids {
    fn next_id(&self) -> RecordId {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        RecordId::system(&format!("{:016x}{:016x}", dice.draw(), dice.draw()))
    }
}

/// A wait of some turns.
#[derive(Debug)]
struct Nap(Arc<Mutex<Dice>>);

#[async_trait]
impl Sleep for Nap {
    async fn sleep(&self, _duration: Duration) {
        let turns = {
            let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            1 + dice.below(3)
        };
        for _ in 0..turns {
            yield_now().await;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    store: Store,
    way: Arc<dyn Transport>,
    schema: Schema,
    dice: Arc<Mutex<Dice>>,
    policy: ConflictPolicy,
    /// It has a way to wait, so that requests are repeated within a push.
    pub(crate) waits: bool,
    pub(crate) watch: Arc<Watch>,
    disk_trouble: u32,
    calm: Arc<std::sync::atomic::AtomicBool>,
    holds: bool,
    running: Option<Running>,
}

/// A program over its disk.
pub(crate) type Running = (Arc<Disk>, SyncContext);
/// A program that is about to run.
pub(crate) type Start = BoxFuture<'static, Result<Running, Error>>;

/// What a simulation gives each of its clients.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) way: Arc<dyn Transport>,
    pub(crate) schema: Schema,
    pub(crate) dice: Arc<Mutex<Dice>>,
    pub(crate) policy: ConflictPolicy,
    pub(crate) waits: bool,
    pub(crate) disk_trouble: u32,
    pub(crate) calm: Arc<std::sync::atomic::AtomicBool>,
    /// Its disk may do a commit when the call that made it was given up.
    pub(crate) holds: bool,
}

impl Client {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            way: parts.way,
            schema: parts.schema,
            dice: parts.dice,
            policy: parts.policy,
            waits: parts.waits,
            watch: Arc::default(),
            disk_trouble: parts.disk_trouble,
            calm: parts.calm,
            holds: parts.holds,
            running: None,
        }
    }

    /// The program that runs, if its store still takes writes.
    pub(crate) fn program(&self) -> Option<&SyncContext> {
        let (disk, sync) = self.running.as_ref()?;
        (!disk.is_broken()).then_some(sync)
    }

    /// The disk of the program that runs.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.running.as_ref().map(|(disk, _)| &**disk)
    }

    /// Nothing of the program is left but what its store holds, some of the last commits with it: what is not done when the
    /// store is opened again never is.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let Some((disk, _)) = self.running.take() else {
            return;
        };
        while dice.permille(500) && disk.land(dice.below(disk.held())).is_some() {}
    }

    /// Opens the store and starts the program.
    pub(crate) fn start(&self) -> Start {
        let disk = Disk::new(
            Arc::clone(&self.store),
            Arc::clone(&self.dice),
            self.disk_trouble,
            Arc::clone(&self.calm),
            self.holds,
        );
        let builder = SyncContext::builder(Arc::clone(&disk) as Store)
            .transport(Arc::clone(&self.way))
            .schema(self.schema.clone())
            .conflicts(self.policy.clone())
            .clock(Shared(Arc::clone(&self.watch)))
            .ids(Ids(Arc::clone(&self.dice)))
            .pull_page(3);
        let builder = if self.waits {
            builder.sleep(Nap(Arc::clone(&self.dice)))
        } else {
            builder
        };
        async move { Ok((disk, builder.open().await?)) }.boxed()
    }

    pub(crate) fn started(&mut self, running: Running) {
        self.running = Some(running);
    }
}
