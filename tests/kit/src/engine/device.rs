//! A device in a story: a store, a context over it, and the server that it shares with others.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::LocalStore;
use synctable_core::sync::{
    ConflictPolicy, ContextBuilder, Event, Operation, PullReport, PushReport, SyncContext,
    SyncTable,
};
use synctable_core::threads::{BoxFuture, MaybeSend};
use synctable_core::{Error, Record, TableName};
use tokio::task::yield_now;

use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{Store, all, are_kept, assert_kept, record, table};
use crate::threads::{InABox, spawn};

/// A context with a table `todo` whose records are an id and a number.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) sync: SyncContext,
    pub(crate) todo: SyncTable<Value>,
    pub(crate) server: TestServer,
    pub(crate) store: Store,
}

/// The table of most stories.
pub(crate) fn todo() -> TableName {
    table("todo")
}

/// What someone else does at the server.
impl TestServer {
    pub(crate) fn set(&self, id: &str, n: i64) {
        self.put(&todo(), &record(&format!(r#"{{"id":"{id}","n":{n}}}"#)));
    }

    pub(crate) fn drop_row(&self, id: &str) {
        self.delete(&todo(), id);
    }

    /// The number in a record that is not deleted.
    pub(crate) fn n(&self, id: &str) -> Option<i64> {
        self.row(&todo(), id)
            .filter(|row| !row.is_deleted())
            .map(|row| number(&row))
    }
}

pub(crate) fn number(record: &Record) -> i64 {
    let n = record.member("n").and_then(|n| n.as_i64());
    n.expect("a record of a story has a number")
}

impl Device {
    /// The store of the harness, parking conflicts.
    pub(crate) async fn new(harness: &dyn Place, server: &TestServer) -> Self {
        Self::built(harness, server, |builder| builder).await
    }

    /// The store of the harness, with a policy for conflicts.
    pub(crate) async fn with(
        harness: &dyn Place,
        server: &TestServer,
        policy: ConflictPolicy,
    ) -> Self {
        Self::built(harness, server, |builder| builder.conflicts(policy)).await
    }

    pub(crate) async fn built(
        harness: &dyn Place,
        server: &TestServer,
        settings: impl FnOnce(ContextBuilder) -> ContextBuilder + MaybeSend,
    ) -> Self {
        let store = harness.open().await.expect("the store opens");
        Self::over(store, server, settings).await
    }

    /// A context over a store that is open, perhaps under another context, too.
    pub(crate) async fn over(
        store: Store,
        server: &TestServer,
        settings: impl FnOnce(ContextBuilder) -> ContextBuilder + MaybeSend,
    ) -> Self {
        let builder = SyncContext::builder(Arc::clone(&store))
            .transport(server.clone())
            .queue_tail(2);
        let sync = settings(builder).open().await.expect("the context opens");
        let todo = sync.table("todo").expect("a table name");
        Self {
            sync,
            todo,
            server: server.clone(),
            store,
        }
    }

    /// Another context over the same store, as after a crash or in another process.
    pub(crate) async fn again(&self) -> Self {
        Self::over(Arc::clone(&self.store), &self.server, |builder| builder).await
    }

    pub(crate) async fn insert(&self, id: &str, n: i64) {
        let new = json!({"id": id, "n": n});
        self.todo.insert(&new).await.expect("the record is new");
    }

    /// A record whose id is made here.
    pub(crate) async fn insert_generated(&self, member: &str, text: &str) {
        let new = json!({ member: text });
        self.todo.insert(&new).await.expect("the record is new");
    }

    pub(crate) async fn set(&self, id: &str, n: i64) {
        let changes = json!({ "n": n });
        self.todo.update(id, &changes).await.expect("it is there");
    }

    pub(crate) async fn delete(&self, id: &str) {
        self.todo.delete(id).await.expect("the record is there");
    }

    /// The number in a local record.
    pub(crate) async fn n(&self, id: &str) -> Option<i64> {
        let found = self.todo.get(id).await.expect("get answers")?;
        Some(found["n"].as_i64().expect("a number"))
    }

    pub(crate) async fn push(&self) -> PushReport {
        self.sync.push().await.expect("the push ends")
    }

    /// A push that is stopped; what it reports.
    pub(crate) async fn push_stops(&self) -> (PushReport, Error) {
        match self.sync.push().await {
            Err(Error::PushStopped { report, source }) => (*report, *source),
            other => panic!("the push is not stopped: {other:?}"),
        }
    }

    /// A push of which the first request fails, and that finds no connection afterwards; what it reports.
    pub(crate) async fn push_is_cut(&self, fault: Fault) -> (PushReport, Error) {
        self.push_is_cut_at(0, fault).await
    }

    /// As [`push_is_cut`](Self::push_is_cut), at the request after `ahead` others.
    pub(crate) async fn push_is_cut_at(&self, ahead: usize, fault: Fault) -> (PushReport, Error) {
        self.server.cut_at(ahead, fault);
        let stopped = self.push_stops().await;
        self.server.reconnect();
        stopped
    }

    /// A push that leaves one conflict; its number.
    pub(crate) async fn push_to_conflict(&self) -> u64 {
        self.push().await;
        let conflicts = self.sync.conflicts().await.expect("the queue is read");
        assert_eq!(conflicts.len(), 1, "one conflict is parked");
        conflicts[0].operation.seq
    }

    /// What changed in the whole table since the last time.
    pub(crate) async fn pull(&self) -> PullReport {
        self.todo
            .pull(Query::all(), "all")
            .await
            .expect("the pull ends")
    }

    /// As [`pull`](Self::pull), but without a push before it.
    pub(crate) async fn pull_only(&self) -> PullReport {
        let pull = self.todo.pull(Query::all(), "all").without_push();
        pull.await.expect("the pull ends")
    }

    /// The queue in words: `replace a`, `insert b attempted`.
    pub(crate) async fn queue(&self) -> Vec<String> {
        let pending = self.sync.pending().await.expect("the queue is read");
        let words = pending.iter().map(|operation| {
            let (kind, id) = (operation.kind.as_str(), &operation.id);
            match operation.state.as_str() {
                "pending" => format!("{kind} {id}"),
                state => format!("{kind} {id} {state}"),
            }
        });
        words.collect()
    }

    /// The only operation.
    pub(crate) async fn only_operation(&self) -> Operation {
        let mut pending = self.sync.pending().await.expect("the queue is read");
        assert_eq!(pending.len(), 1, "one operation waits");
        pending.remove(0)
    }

    /// The number of the only operation.
    pub(crate) async fn only_seq(&self) -> u64 {
        self.only_operation().await.seq
    }

    /// Nothing is out of order: the store holds together, the index is the queue, no write was unconditional.
    pub(crate) async fn is_sound(&self) {
        let findings = self.sync.verify().await.expect("the store is read");
        assert!(findings.is_empty(), "{findings:?}");
        let pending = self.sync.pending().await.expect("the queue is read");
        assert_eq!(
            self.sync
                .pending_count()
                .await
                .expect("the queue is counted"),
            pending.len() as u64
        );
        let violations = self.server.violations();
        assert!(violations.is_empty(), "{violations:?}");
    }

    /// As [`is_sound`](Self::is_sound); and nothing waits, and every record is as at the server.
    pub(crate) async fn is_in_sync(&self) {
        self.is_sound().await;
        assert_eq!(self.queue().await, [""; 0], "the queue is empty");
        let (local, server) = (self.rows().await, self.server.live(&todo()));
        let same = are_kept(self.store.capabilities(), &local, &server);
        assert!(same, "{} and {}", shown(&local), shown(&server));
    }

    /// Demands that a record, which has gone through this device's store, has this text; or these values where the store keeps only those.
    pub(crate) fn assert_says(&self, found: &Record, members: &str) {
        let expected = Record::new(found.id().clone(), members).expect("an object");
        let expected = expected.with_system(found.system().clone());
        assert_kept(
            &self.store,
            std::slice::from_ref(found),
            &[expected],
            "members",
        );
    }

    /// The local records as they are stored.
    pub(crate) async fn rows(&self) -> Vec<Record> {
        // A table that was never changed is not made by reading.
        let declared = self.store.schema().await.expect("the store answers");
        if declared.table(&todo()).is_none() {
            return Vec::new();
        }
        all(&self.store, &todo()).await
    }
}

pub(crate) fn shown(rows: &[Record]) -> String {
    let rows: Vec<String> = rows.iter().map(Record::to_json).collect();
    format!("[{}]", rows.join(", "))
}

/// The events that wait, changes of records as text: `Local Inserted a`.
pub(crate) fn changes(events: &mut synctable_core::sync::Events) -> Vec<String> {
    let mut changes = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::Changed {
            id, change, origin, ..
        } = event
        {
            changes.push(format!("{origin:?} {change:?} {id}"));
        }
    }
    changes
}

/// Starts `future` as a task, gives it many turns while the caller waits, and hands it back. It goes on by itself: where a store works on threads, it may hold
/// what others wait for.
pub(crate) async fn take_turns<T: MaybeSend + 'static>(
    future: BoxFuture<'static, T>,
) -> BoxFuture<'static, T> {
    let task = spawn(future);
    for _ in 0..200 {
        yield_now().await;
    }
    async move { task.await.expect("the task ends") }.in_a_box()
}
