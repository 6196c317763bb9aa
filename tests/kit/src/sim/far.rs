//! The far side: the server that the clients of a simulation share.

use std::fmt::Debug;
use std::sync::Arc;
use synctable_core::threads::{MaybeSend, MaybeSync};

use async_trait::async_trait;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeFeed, ChangeKind, Conflict, Outcome, PageCursor, RemotePage,
    ServerRecord, Transport, TransportCapabilities, TransportError,
};
use synctable_core::{Record, RecordId, Sleep, TableName};

use super::dice::Dice;
use super::line::{Errand, Line};
use crate::engine::TestServer;
use crate::threads::InABox;
use crate::typed::Flavour;

/// A server under simulation. It runs in the thread of the simulation, as far as it is polled, and takes its time from a
/// clock of its own.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait FarSide: Debug + MaybeSend + MaybeSync + 'static {
    /// A client's way to the server: every request goes over `line`.
    fn connect(&self, line: Line) -> Arc<dyn Transport>;

    /// The records that are not deleted, by ascending id, straight from where the server keeps them.
    async fn live(&self, table: &TableName) -> Vec<Record>;

    /// False where nothing is left of deleted records, so that only an audit shows their deletion.
    fn keeps_tombstones(&self) -> bool {
        true
    }

    /// The server's clock jumps.
    fn jump(&self, millis: i64) {
        let _ = millis;
    }

    /// What the server does to single records of its own ends: failures, refusals that are no rule, tables that are not there.
    fn lift(&self) {}

    /// What clients did that no client may do, a line each.
    fn violations(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl FarSide for TestServer {
    fn connect(&self, line: Line) -> Arc<dyn Transport> {
        Arc::new(Way {
            server: self.clone(),
            line,
        })
    }

    async fn live(&self, table: &TableName) -> Vec<Record> {
        Self::live(self, table)
    }

    fn keeps_tombstones(&self) -> bool {
        Self::keeps_tombstones(self)
    }

    fn violations(&self) -> Vec<String> {
        Self::violations(self)
    }
}

/// The modelled server behind a line.
#[derive(Debug)]
struct Way {
    server: TestServer,
    line: Line,
}

fn errand(change: &Change) -> Errand {
    match change.kind {
        // A server that forgets deleted records cannot tell a late insert from a new one.
        ChangeKind::Insert => Errand::Change,
        _ => Errand::ChangeEvenLate,
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Transport for Way {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let serve = || {
            let (server, table, change) = (self.server.clone(), table.clone(), change.clone());
            async move { server.apply(&table, &change).await }.in_a_box()
        };
        self.line.carry(errand(change), serve).await
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        let errands = changes.iter().map(|(_, change)| errand(change));
        let serve = || {
            let (server, changes) = (self.server.clone(), changes.to_vec());
            async move { server.apply_all(&changes).await }.in_a_box()
        };
        self.line.carry(Errand::of_all(errands), serve).await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let serve = || {
            let (server, table, id) = (self.server.clone(), table.clone(), id.clone());
            async move { server.get(&table, &id).await }.in_a_box()
        };
        self.line.carry(Errand::Read, serve).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let serve = || {
            let (server, table, query) = (self.server.clone(), table.clone(), query.clone());
            let cursor = cursor.cloned();
            async move { server.page(&table, &query, cursor.as_ref()).await }.in_a_box()
        };
        self.line.carry(Errand::Read, serve).await
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        // The simulated servers are table servers.
        None
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.server.capabilities()
    }

    fn address(&self) -> Option<String> {
        self.server.address()
    }

    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Self {
            server: self.server.of_account(account),
            line: self.line.clone(),
        }))
    }

    fn begin_push(&self) {
        self.server.begin_push();
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.server.renew_credentials().await
    }

    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        self.server.sleep()
    }
}

/// A modelled server of a random make.
pub(crate) fn modelled(dice: &mut Dice) -> Arc<dyn FarSide> {
    let server = if dice.permille(500) {
        TestServer::new()
    } else {
        TestServer::foreign()
    };
    of_a_make(server, dice)
}

/// A modelled server with classes, of a random make.
pub(crate) fn of_classes(dice: &mut Dice) -> Arc<dyn FarSide> {
    let flavour = Flavour::ALL[dice.below(2)];
    of_a_make(TestServer::of_classes(flavour), dice)
}

/// Some servers say that they take changed members alone, and some of these refuse them all the same.
pub(super) fn members_alone(server: &TestServer, dice: &mut Dice) {
    let (announces, takes) = (dice.permille(600), dice.permille(800));
    server.configure(|options| {
        (options.announces_members, options.takes_members) = (announces, takes);
    });
}

/// The choice of servers that take several changes in one request.
const BATCHES: u64 = u64::MAX - 2_000;

/// Half of the servers take batches, most of these tell repeats, without which nobody sends them any, and some refuse larger ones or look at a
/// part of each; most do some changes as one. With dice of their own: without batches a history goes as it did before there were any.
pub(super) fn batches(server: &TestServer, dice: &Dice) {
    let mut own = dice.beside(BATCHES);
    let (takes, tells, most) = (own.permille(500), own.permille(700), 2 + own.below(9));
    let (refuses, leaves, some) = (own.permille(200), own.permille(200), own.below(5));
    let does_units = own.permille(600);
    if takes {
        server.configure(|options| {
            options.batches = Some(most);
            options.operation_ids |= tells;
            options.units = does_units.then_some(most);
        });
        server.take_batches_up_to(refuses.then_some(some));
        server.look_at(leaves.then_some(some));
    }
}

fn of_a_make(server: TestServer, dice: &mut Dice) -> Arc<dyn FarSide> {
    let page = u32::try_from(1 + dice.below(4)).unwrap_or(1);
    let ticks = [None, Some(0), Some(3_700)][dice.below(3)];
    let (shows_tombstones, operation_ids) = (dice.permille(700), dice.permille(400));
    let (typed, soft_delete) = (dice.below(3) == 0, dice.permille(750));
    server.configure(|options| {
        options.operation_ids = operation_ids;
        options.page = page;
        options.typed |= typed;
        options.soft_delete = soft_delete;
        options.shows_tombstones = shows_tombstones;
        if !options.ordered {
            options.ticks_per_write = ticks.unwrap_or(options.ticks_per_write);
        }
    });
    members_alone(&server, dice);
    batches(&server, dice);
    Arc::new(server)
}

/// Someone else writes a record: inserts it, replaces it, or brings it back. False where the server does not let them.
pub(crate) async fn put(way: &dyn Transport, table: &TableName, record: &Record) -> bool {
    let Ok(mut row) = way.get(table, record.id()).await else {
        return false;
    };
    for _ in 0..2 {
        let kind = match &row {
            None => ChangeKind::Insert,
            Some(row) if row.is_deleted() => ChangeKind::Undelete,
            Some(_) => ChangeKind::Replace,
        };
        let change = Change::new(kind, record.id().clone())
            .with_record(record.clone())
            .with_if_match(row.as_ref().and_then(Record::version).cloned())
            .with_base(row.take());
        match way.apply(table, &change).await {
            Ok(Outcome::Applied(_)) => return true,
            // A tombstone that is not shown to who asks for it.
            Ok(Outcome::Conflict(Conflict {
                server: ServerRecord::Known(tombstone),
                ..
            })) => row = Some(tombstone),
            _ => return false,
        }
    }
    false
}

/// Someone else deletes a record. False where there is none.
pub(crate) async fn delete(way: &dyn Transport, table: &TableName, id: &RecordId) -> bool {
    if let Ok(Some(row)) = way.get(table, id).await
        && !row.is_deleted()
    {
        let change = Change::new(ChangeKind::Delete, id.clone())
            .with_if_match(row.version().cloned())
            .with_base(Some(row));
        return way.apply(table, &change).await.is_ok();
    }
    false
}
