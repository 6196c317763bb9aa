//! A client of a simulation: a disk that outlives it, and the program that runs over it until it crashes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use synctable_core::sync::{ConflictPolicy, SyncContext};
use synctable_core::threads::BoxFuture;
use synctable_core::transport::Transport;
use synctable_core::{Clock, Declarations, Error, IdSource, RecordId, Sleep, Timestamp};
use tokio::task::yield_now;

use super::dice::Dice;
use super::disk::Disk;
use super::person::Person;
use super::realms::{Face, Realms};
use super::signpost::{Post, Signpost, pointed};
use super::witness::Witness;
use crate::fixture::Store;
use crate::threads::InABox;

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

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
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
    realms: Arc<Realms>,
    ways: Arc<[Arc<dyn Transport>]>,
    post: Post,
    /// Its user has an account. One who has none is the one who was signed in first.
    named: bool,
    witness: Option<Witness>,
    schema: Declarations,
    dice: Arc<Mutex<Dice>>,
    policy: ConflictPolicy,
    /// It has a way to wait, so that requests are repeated within a push.
    pub(crate) waits: bool,
    pub(crate) watch: Arc<Watch>,
    /// Who is asked about conflicts, if anybody is.
    pub(crate) person: Option<Person>,
    disk_trouble: u32,
    calm: Arc<std::sync::atomic::AtomicBool>,
    holds: bool,
    contexts: usize,
    program: Option<Program>,
}

/// A place at which a program has a context open: contexts of one client share its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat {
    pub(crate) client: usize,
    pub(crate) context: usize,
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.context {
            0 => write!(f, "client {}", self.client),
            other => write!(f, "client {}, context {other}", self.client),
        }
    }
}

/// A program over its disk, with the contexts that are open.
#[derive(Debug)]
struct Program {
    disk: Arc<Disk>,
    contexts: Vec<Option<Opened>>,
}

/// A context that is open, and its way where there is more than one realm.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) sync: SyncContext,
    pub(crate) signpost: Option<Signpost>,
}

/// A context that is about to open.
pub(crate) type Start = BoxFuture<'static, Result<Opened, Error>>;

/// What a simulation gives each of its clients.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) realms: Arc<Realms>,
    /// Its way to each realm, and the one that it is pointed at.
    pub(crate) ways: Arc<[Arc<dyn Transport>]>,
    pub(crate) post: Post,
    pub(crate) named: bool,
    pub(crate) witness: Option<Witness>,
    pub(crate) schema: Declarations,
    pub(crate) dice: Arc<Mutex<Dice>>,
    pub(crate) policy: ConflictPolicy,
    pub(crate) watch: Arc<Watch>,
    pub(crate) person: Option<Person>,
    pub(crate) waits: bool,
    pub(crate) disk_trouble: u32,
    pub(crate) calm: Arc<std::sync::atomic::AtomicBool>,
    /// Its disk may do a commit when the call that made it was given up.
    pub(crate) holds: bool,
    /// How many contexts its program opens over the one store.
    pub(crate) contexts: usize,
}

impl Client {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            realms: parts.realms,
            ways: parts.ways,
            post: parts.post,
            named: parts.named,
            witness: parts.witness,
            schema: parts.schema,
            dice: parts.dice,
            policy: parts.policy,
            waits: parts.waits,
            watch: parts.watch,
            person: parts.person,
            disk_trouble: parts.disk_trouble,
            calm: parts.calm,
            holds: parts.holds,
            contexts: parts.contexts,
            program: None,
        }
    }

    /// How many contexts its program opens.
    pub(crate) fn contexts(&self) -> usize {
        self.contexts
    }

    /// A context that is open, if the store still takes writes.
    pub(crate) fn context(&self, number: usize) -> Option<&Opened> {
        let program = self.program.as_ref().filter(|_| !self.is_broken())?;
        program.contexts.get(number)?.as_ref()
    }

    /// The disk of the program that runs.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.program.as_ref().map(|program| &*program.disk)
    }

    /// True where the store takes no writes before the program has ended and is started again.
    pub(crate) fn is_broken(&self) -> bool {
        self.disk().is_some_and(Disk::is_broken)
    }

    /// Nothing of the program is left but what its store holds, some of the last commits with it: what is not done when the
    /// store is opened again never is.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let Some(Program { disk, .. }) = self.program.take() else {
            return;
        };
        while dice.permille(500) && disk.land(dice.below(disk.held())).is_some() {}
    }

    /// The program gives up one of its contexts, the others go on; true if there was one.
    pub(crate) fn close(&mut self, number: usize) -> bool {
        let program = self.program.as_mut();
        let open = program.and_then(|program| program.contexts.get_mut(number));
        open.is_some_and(|open| open.take().is_some())
    }

    /// Opens a context; the store with it, if the program does not run.
    pub(crate) fn start(&mut self) -> Start {
        let program = self.program.get_or_insert_with(|| Program {
            disk: Disk::new(
                Arc::clone(&self.store),
                Arc::clone(&self.dice),
                self.disk_trouble,
                Arc::clone(&self.calm),
                self.holds,
                self.witness.clone(),
            ),
            contexts: (0..self.contexts).map(|_| None).collect(),
        });
        let several = self.realms.len() > 1;
        let signpost = several.then(|| Signpost::new(&self.realms, &self.ways, &self.post));
        let way = match &signpost {
            Some(signpost) => Arc::new(signpost.clone()),
            None => Arc::clone(&self.ways[0]),
        };
        let builder = SyncContext::builder(Arc::clone(&program.disk) as Store)
            .transport(way)
            .schema(self.schema.clone())
            .conflicts(self.policy.clone())
            .clock(Shared(Arc::clone(&self.watch)))
            .ids(Ids(Arc::clone(&self.dice)))
            .pull_page(3)
            .queue_tail(2)
            // Small groups follow each other, large ones travel together.
            .push_group(if self.waits { 2 } else { 512 });
        let builder = if self.waits {
            builder.sleep(Nap(Arc::clone(&self.dice)))
        } else {
            builder
        };
        let face = signpost.as_ref().map(|signpost| signpost.face.clone());
        let Face { name, account, .. } = face.unwrap_or_default();
        let builder = match name {
            Some(name) => builder.server_name(name),
            None => builder,
        };
        let builder = match account.filter(|_| self.named) {
            Some(account) => builder.account(account),
            None => builder,
        };
        let opening = builder.open();
        async move {
            let sync = opening.await?;
            Ok(Opened { sync, signpost })
        }
        .in_a_box()
    }

    /// The realm that it is pointed at.
    pub(crate) fn pointed(&self) -> usize {
        pointed(&self.post)
    }

    /// Points it elsewhere. What is under way goes on as far as it can.
    pub(crate) fn point(&mut self, realm: usize) {
        *self.post.lock().unwrap_or_else(PoisonError::into_inner) = realm;
    }

    /// Gives its user an account; false if they have one.
    pub(crate) fn name(&mut self) -> bool {
        !std::mem::replace(&mut self.named, true)
    }

    /// The store under its program, without anything that goes wrong.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn started(&mut self, number: usize, opened: Opened) {
        let program = self.program.as_mut();
        if let Some(place) = program.and_then(|program| program.contexts.get_mut(number)) {
            *place = Some(opened);
        }
    }
}
