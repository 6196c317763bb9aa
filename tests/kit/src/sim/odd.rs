//! Odd tables: an application over a server with habits, whose users never meet each other's records.
//!
//! As each record has one author, nothing may ever be in conflict but where the server itself plays somebody else; and as it is known what the
//! server does to which record, it is known who may be refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::sync::{
    ConflictPolicy, Operation, OperationKind, OperationState, ParkedOperation, Resolution,
    SyncContext,
};
use synctable_core::{Declaration, Declarations, Error, Record, TableName};

use super::application::{Application, Participant};
use super::dice::Dice;
use super::far::FarSide;
use super::odd_books::{Books, State};
use super::odd_server::{CLOSED, LETTERS, ODD, OddServer, is_cursed, n_of};
use super::watch::COUNTED;
use crate::engine::Fault;
use crate::fixture::table;

/// Pushes after which nothing is left but what the server will not take.
const ENOUGH: usize = 12;
/// Pushes in which others were accepted, after which the server's failures at a record are its own.
const COUNTED_OUT: usize = 3;
/// In this of them the first request finds no connection.
const OFFLINE: usize = 4;

/// Users who write odd records; see [`OddServer`].
#[derive(Debug, Default)]
pub(super) struct OddTables {
    server: OnceLock<OddServer>,
    books: Mutex<Books>,
}

/// Notes that a change has ended, also where its program crashed.
struct Busy<'a> {
    of: &'a OddTables,
    id: &'a str,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.of.books().end(self.id);
    }
}

/// What a user does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Plain,
    Odd,
    Cursed,
    Family,
    Child,
    Renamed,
    Letter,
    Closed,
    Edit,
    Delete,
    Deploy,
}

impl OddTables {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self) -> Result<&OddServer, String> {
        let server = self.server.get();
        server.ok_or_else(|| "the odd server was not started".to_owned())
    }

    /// Makes a record whose id begins with `prefix`; its id.
    async fn make(
        &self,
        author: usize,
        sync: &SyncContext,
        prefix: &str,
        members: Value,
    ) -> Result<String, Error> {
        let of = match prefix {
            "l" => LETTERS,
            "e" => CLOSED,
            _ => ODD,
        };
        let (v, id) = {
            let mut books = self.books();
            let v = books.number();
            let id = format!("{prefix}{v}");
            books.make(author, of, &id, State::Here(v));
            (v, id)
        };
        let _busy = Busy { of: self, id: &id };
        let mut new = members;
        new["v"] = v.into();
        if of != LETTERS {
            new["id"] = id.clone().into();
        }
        sync.table::<Value>(of)?.insert(&new).await?;
        self.books().acknowledge(&id);
        Ok(id.clone())
    }

    async fn change(&self, sync: &SyncContext, id: &str, n: Option<i64>) -> Result<(), Error> {
        let v = {
            let mut books = self.books();
            let v = books.number();
            books.begin(id, n.map_or(State::Gone, |_| State::Here(v)));
            v
        };
        let _busy = Busy { of: self, id };
        let rows = sync.table::<Value>(ODD)?;
        let done = match n {
            Some(n) => rows.update(id, &json!({"n": n, "v": v})).await.map(drop),
            None => rows.delete(id).await,
        };
        match &done {
            Ok(()) => self.books().acknowledge(id),
            Err(Error::NotFound { .. }) => self.books().refuse(id),
            Err(_) => {}
        }
        done
    }

    /// Somebody else has changed the record of an operation.
    fn is_touched(&self, operation: &Operation) -> bool {
        let server = self.server.get();
        server.is_some_and(|server| server.is_touched(&operation.id))
    }

    /// What is wrong with an operation that waits for the user.
    fn blame(&self, parked: &ParkedOperation, all: &[Operation]) -> Option<String> {
        let operation = &parked.operation;
        let (table, id) = (&operation.table, &operation.id);
        if operation.state == OperationState::Conflict {
            if self.is_touched(operation) {
                return None;
            }
            return Some(format!("conflict: {table}/{id} has one author: {parked:?}"));
        }
        let content = operation.item.as_ref().or(parked.conflict.local.as_ref());
        let refused = matches!(n_of(content), 13 | 14) && operation.kind != OperationKind::Delete;
        if refused || operation.other_id.is_some() || parked.message.starts_with(COUNTED) {
            return None;
        }
        let parent = content.and_then(|record| record.member("parent"));
        let Some(parent) = parent.as_ref().and_then(Value::as_str) else {
            return Some(format!("refused: {table}/{id}: {parked:?}"));
        };
        let waits = |other: &&Operation| {
            let new = other.kind == OperationKind::Insert && !other.is_parked();
            new && other.id.as_str() == parent && other.seq < operation.seq
        };
        let waiting = all.iter().find(waits).filter(|_| operation.attempts == 1)?;
        Some(format!(
            "refused: {id} at once, though its parent waits: {waiting:?}"
        ))
    }

    /// Pushes and pulls of one client, with records that nothing is wrong with; then nothing may wait but what has to.
    async fn endures(&self, client: &Participant) -> Result<(), String> {
        let sync = &client.sync;
        let number = client.number;
        let server = self.server()?;
        let stuck =
            |what: &str, error: &Error| format!("stuck: {what} of client {number}: {error:?}");
        for operation in sync.pending().await.map_err(|e| stuck("list", &e))? {
            if operation.aside.is_some() {
                let retried = sync.retry(operation.seq).await;
                retried.map_err(|error| stuck("retry", &error))?;
            }
        }
        let before = sync.pending().await.map_err(|e| stuck("list", &e))?;
        for round in 0..ENOUGH {
            if round == COUNTED_OUT {
                let all = sync.pending().await.map_err(|e| stuck("list", &e))?;
                for operation in &all {
                    if before.iter().any(|before| before.seq == operation.seq)
                        && is_cursed(&operation.id)
                        && let Some(wrong) = Self::left(server, operation, &all)
                    {
                        return Err(format!("stuck: {wrong}: {operation:?}"));
                    }
                }
            }
            let made = self.make(number, sync, "s", json!({"n": 1})).await;
            made.map_err(|error| stuck("insert", &error))?;
            if round == OFFLINE {
                server.inner.fault(Fault::Offline);
            }
            let pushed = sync.push().await;
            if let Err(error) = pushed
                && (round != OFFLINE || client.waits)
            {
                return Err(stuck("push", &error));
            }
            self.wrong(sync).await?;
            for parked in sync.parked().await.map_err(|e| stuck("list", &e))? {
                if parked.operation.state == OperationState::Conflict {
                    let decided = self.resolve(sync, &parked).await;
                    decided.map_err(|error| stuck("decide", &error))?;
                }
            }
            let rows = sync.table::<Value>(ODD).map_err(|e| stuck("table", &e))?;
            let pulled = rows.pull(Query::all(), "all").without_push().await;
            pulled.map_err(|error| stuck("pull", &error))?;
        }
        let all = sync.pending().await.map_err(|e| stuck("list", &e))?;
        for operation in &all {
            if let Some(wrong) = Self::left(server, operation, &all) {
                return Err(format!("stuck: {wrong} at client {number}: {operation:?}"));
            }
        }
        Ok(())
    }

    /// What is wrong with an operation that is left though nothing goes wrong but what the server always does.
    fn left(server: &OddServer, operation: &Operation, all: &[Operation]) -> Option<&'static str> {
        let rejected = operation.state == OperationState::Rejected;
        let behind = |other: &Operation| {
            let same = (&other.table, &other.id) == (&operation.table, &operation.id);
            same && other.seq < operation.seq && !is_wrong(server, other)
        };
        let excused = all.iter().any(behind) || !is_wrong(server, operation);
        match (excused, rejected) {
            (true, _) => None,
            (false, true) => Some("refused for good"),
            (false, false) => Some("not sent"),
        }
    }
}

/// True where an operation has no reason to be left.
fn is_wrong(server: &OddServer, operation: &Operation) -> bool {
    let rejected = operation.state == OperationState::Rejected;
    if operation.table.as_str() == CLOSED {
        return rejected;
    }
    if is_cursed(&operation.id) {
        return rejected != server.counts();
    }
    // What was refused was looked at after each push.
    !rejected
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Application for OddTables {
    fn schema(&self) -> Declarations {
        let with = |schema: Declarations, name| schema.with_table(table(name), Declaration::new());
        Books::TABLES.into_iter().fold(Declarations::new(), with)
    }

    fn conflicts(&self) -> ConflictPolicy {
        ConflictPolicy::Park
    }

    async fn act(&self, sync: &SyncContext, dice: &mut Dice) -> Result<(), Error> {
        self.act_as(0, sync, dice).await
    }

    async fn act_as(
        &self,
        client: usize,
        sync: &SyncContext,
        dice: &mut Dice,
    ) -> Result<(), Error> {
        let deed = dice.weighted(&[
            (12, Deed::Plain),
            (12, Deed::Odd),
            (8, Deed::Cursed),
            (8, Deed::Family),
            (5, Deed::Child),
            (5, Deed::Renamed),
            (8, Deed::Letter),
            (3, Deed::Closed),
            (26, Deed::Edit),
            (9, Deed::Delete),
            (4, Deed::Deploy),
        ]);
        let which = dice.draw();
        let plain = json!({"n": 1});
        match deed {
            Deed::Plain => _ = self.make(client, sync, "s", plain).await?,
            Deed::Odd => {
                let n = 13 + dice.below(3);
                self.make(client, sync, "s", json!({ "n": n })).await?;
            }
            Deed::Cursed => _ = self.make(client, sync, "x", plain).await?,
            Deed::Family => {
                let prefix = ["d", "dx"][dice.below(2)];
                let parent = self.make(client, sync, prefix, plain).await?;
                let child = json!({"n": 1, "parent": parent});
                self.make(client, sync, "c", child).await?;
            }
            Deed::Child => {
                let parent = self.books().own(client, which, |id| id.starts_with('d'));
                if let Some(parent) = parent {
                    let child = json!({"n": 1, "parent": parent});
                    self.make(client, sync, "c", child).await?;
                }
            }
            Deed::Renamed => _ = self.make(client, sync, "r", plain).await?,
            Deed::Letter => _ = self.make(client, sync, "l", json!({})).await?,
            Deed::Closed => _ = self.make(client, sync, "e", plain).await?,
            Deed::Edit => {
                let n = [1, 1, 2, 13, 14, 15, 16, 17, 18, 18, 19, 19][dice.below(12)];
                let own = self.books().own(client, which, |id| !id.starts_with('r'));
                if let Some(id) = own {
                    let n = if id.starts_with('s') { n } else { 1 };
                    self.change(sync, &id, Some(n)).await?;
                }
            }
            Deed::Delete => {
                let own = self.books().own(client, which, |id| !id.starts_with('r'));
                if let Some(id) = own {
                    self.change(sync, &id, None).await?;
                }
            }
            Deed::Deploy => {
                if let Some(server) = self.server.get() {
                    // A table is missing for a while, and there most of the time.
                    server.unmount(dice.permille(300));
                }
            }
        }
        Ok(())
    }

    /// The author has the last word; a conflict about a record that nobody else touches is a finding already.
    async fn resolve(&self, sync: &SyncContext, parked: &ParkedOperation) -> Result<(), Error> {
        if self.is_touched(&parked.operation) {
            sync.resolve_parked(parked, Resolution::Client).await?;
        }
        Ok(())
    }

    async fn refused(&self, sync: &SyncContext, parked: &ParkedOperation) -> Result<(), Error> {
        let operation = &parked.operation;
        let (seq, id) = (operation.seq, operation.id.as_str());
        let lifted = self.server.get().is_some_and(OddServer::is_lifted);
        if operation.other_id.is_some() {
            sync.resolve(seq, Resolution::Server).await?;
        } else if matches!(n_of(parked.conflict.local.as_ref()), 13 | 14) {
            let rows = sync.table::<Value>(operation.table.as_str())?;
            rows.update(id, &json!({"n": 1})).await?;
        } else if lifted || !id.starts_with('d') {
            // A parent that was refused stays so: whether its children may be is told by that.
            sync.retry(seq).await?;
        }
        Ok(())
    }

    async fn wrong(&self, sync: &SyncContext) -> Result<(), String> {
        let (Ok(all), Ok(parked)) = (sync.pending().await, sync.parked().await) else {
            return Ok(());
        };
        for parked in &parked {
            let Some(wrong) = self.blame(parked, &all) else {
                continue;
            };
            // Others may have changed it while the lists were made.
            let now = sync.operation(parked.operation.seq).await;
            if now.is_ok_and(|now| now == parked.operation) {
                return Err(wrong);
            }
        }
        Ok(())
    }

    fn far_side(&self, dice: &mut Dice) -> Option<Arc<dyn FarSide>> {
        let server = self.server.get_or_init(|| OddServer::new(dice));
        Some(Arc::new(server.clone()))
    }

    fn in_order(&self) -> bool {
        true
    }

    fn is_readable(&self, table: &TableName) -> bool {
        table.as_str() != LETTERS
    }

    async fn endure(&self, clients: &[Participant]) -> Result<(), String> {
        self.server()?.unmount(false);
        for client in clients {
            self.endures(client).await?;
        }
        Ok(())
    }

    fn check(&self, rows: &BTreeMap<TableName, Vec<Record>>) -> Result<(), String> {
        self.books().check(rows)
    }
}
