//! This project's engine with the genuine server, over a connection that breaks before the answer comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use synctable_core::query::RemoteQuery;
use synctable_core::sync::ConflictPolicy;
use synctable_core::transport::{
    Change, ChangeKind, Outcome, PageCursor, RemotePage, Transport, TransportCapabilities,
    TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName};
use synctable_http::{Dialect, HttpTransport};

use crate::ours::{Device, http};
use crate::peers::NodeServer;

/// Changes of the kinds named reach the server, their answers are lost, and no connection is made any more.
#[derive(Debug, Clone)]
struct Lossy {
    inner: Arc<HttpTransport>,
    loses: Arc<Mutex<Vec<ChangeKind>>>,
    is_cut: Arc<AtomicBool>,
}

impl Lossy {
    fn new(server: &NodeServer) -> Self {
        Self {
            inner: Arc::new(http(&server.url, Dialect::Zumo2)),
            loses: Arc::default(),
            is_cut: Arc::default(),
        }
    }

    fn loses(&self, kinds: &[ChangeKind]) {
        *self.loses.lock().unwrap() = kinds.to_vec();
        self.is_cut.store(false, Ordering::SeqCst);
    }

    fn connect(&self) -> Result<(), TransportError> {
        if self.is_cut.load(Ordering::SeqCst) {
            let kind = TransportErrorKind::Unreachable;
            return Err(TransportError::new(kind, "the line is cut"));
        }
        Ok(())
    }
}

#[async_trait]
impl Transport for Lossy {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        self.connect()?;
        let outcome = self.inner.apply(table, change).await?;
        if self.loses.lock().unwrap().contains(&change.kind) {
            self.is_cut.store(true, Ordering::SeqCst);
            let lost = "the answer was lost";
            return Err(TransportError::new(TransportErrorKind::Timeout, lost));
        }
        Ok(outcome)
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.connect()?;
        self.inner.get(table, id).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.connect()?;
        self.inner.page(table, query, cursor).await
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.inner.capabilities()
    }
}

#[tokio::test]
async fn changes_whose_answer_was_lost_take_effect_once() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let lossy = Lossy::new(&server);
    let a = Device::with(lossy.clone(), ConflictPolicy::ClientWins).await;
    let b = Device::new(&server.url, Dialect::Zumo2).await;
    a.insert(json!({"id": "kept", "text": "start", "rank": 1}))
        .await;
    a.insert(json!({"id": "back", "text": "start"})).await;
    a.sync().await;
    a.delete("back").await;
    a.push_all().await;
    for kind in [
        ChangeKind::Insert,
        ChangeKind::Replace,
        ChangeKind::Undelete,
        ChangeKind::Delete,
    ] {
        match kind {
            ChangeKind::Insert => {
                a.insert(json!({"id": "new", "text": "new", "rank": 2}))
                    .await;
            }
            ChangeKind::Replace => a.text("kept", "edited").await,
            ChangeKind::Undelete => a.insert(json!({"id": "back", "text": "again"})).await,
            ChangeKind::Delete => a.delete("kept").await,
        }
        lossy.loses(&[kind]);
        assert!(a.push().await.is_err(), "{kind:?}: it is not known");
        lossy.loses(&[]);
        b.pull().await;
        let seen = b.records().await;
        a.push_all().await;
        a.pull().await;
        b.pull().await;
        assert_eq!(a.records().await, b.records().await, "{kind:?}");
        assert_eq!(seen, b.records().await, "{kind:?}: it was not done again");
    }
    let rows = b.rows().await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows["new"], &rows["back"]),
        (&json!("new"), &json!("again"))
    );
}

#[tokio::test]
async fn an_edit_behind_a_lost_answer_is_sent_on_the_version_that_the_server_gave() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let lossy = Lossy::new(&server);
    let a = Device::with(lossy.clone(), ConflictPolicy::Park).await;
    let b = Device::new(&server.url, Dialect::Zumo2).await;
    a.insert(json!({"id": "x", "text": "first"})).await;
    lossy.loses(&[ChangeKind::Insert, ChangeKind::Replace]);
    assert!(a.push().await.is_err());
    a.text("x", "second").await;
    lossy.loses(&[]);
    a.push_all().await;
    b.pull().await;
    assert_eq!(b.rows().await["x"], "second");
    // A stranger's edit behind a lost answer is a conflict, and not lost.
    a.text("x", "third").await;
    lossy.loses(&[ChangeKind::Replace]);
    assert!(a.push().await.is_err());
    b.pull().await;
    b.text("x", "by b").await;
    b.push_all().await;
    lossy.loses(&[]);
    let report = a.push().await.unwrap();
    assert_eq!((report.conflicts, report.pending), (1, 1));
}
