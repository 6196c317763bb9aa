//! The server as a transport: each request meets what was planned for it.

use std::sync::Arc;
use std::time::Duration;
use synctable_core::threads::MaybeSend;

use async_trait::async_trait;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    BatchAnswer, BatchLimits, Change, ChangeFeed, FeedAnswer, FeedChange, FeedToken, Outcome,
    PageCursor, RemotePage, Transport, TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName};
use tokio::task::yield_now;

use super::state::State;
use super::{Call, Fault, Request, TestServer};

/// How long it keeps the outcomes of changes.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl TestServer {
    /// Does what a request asks for, with everything that goes wrong on the way.
    async fn serve<T>(
        &self,
        request: Request,
        answer: impl FnOnce(&mut State) -> Result<T, TransportError> + MaybeSend,
    ) -> Result<T, TransportError> {
        yield_now().await;
        let (answer, fault, meanwhile) = {
            let mut state = self.state();
            let user = state.identity.user_of(self.account.as_deref())?;
            let about = match &request.call {
                Call::Apply(change) => Some(&change.id),
                Call::Get(id) => Some(id),
                Call::Page(_) | Call::Changes(_) => None,
            };
            let number = state.begin(about.into_iter());
            let by_rule = match &request.call {
                Call::Apply(change) => {
                    let by_rule = state.fault_by_rule(&request.table, change);
                    by_rule.or_else(|| state.fault_of_orphan(&request.table, change))
                }
                Call::Get(_) | Call::Page(_) | Call::Changes(_) => None,
            };
            let fault = state.fault_of_request(number).or(by_rule);
            let meanwhile = state.meanwhile.remove(&number);
            let hidden = match &request.call {
                Call::Apply(_) => None,
                Call::Get(_) | Call::Page(_) | Call::Changes(_) => {
                    let of_table = state.hidden.get(&request.table).copied();
                    state.hides.or(of_table)
                }
            };
            if let Some(error) = fault.or(hidden).and_then(Fault::before) {
                if let (Some(Fault::LostRequest), Call::Apply(change)) = (fault, &request.call) {
                    let lost = (request.table.clone(), change.clone());
                    state.lost.push(lost);
                }
                return Err(error);
            }
            state.requests.push(request);
            state.identity.answered(user);
            (answer(&mut state), fault, meanwhile)
        };
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        yield_now().await;
        match fault.and_then(Fault::after) {
            Some(error) => Err(error),
            None => answer,
        }
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Transport for TestServer {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Apply(change.clone()),
        };
        self.serve(request, |state| state.apply_classed(table, change))
            .await
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        self.serve_batch(changes).await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Get(id.clone()),
        };
        let answer = |state: &mut State| {
            if state.unmounted.contains(table) {
                return Ok(None);
            }
            let shown = |row: &Record| state.rows.options.shows_tombstones || !row.is_deleted();
            let row = state.rows.get(table, id).filter(shown);
            Ok(row.map(|row| state.as_shown(row)))
        };
        self.serve(request, answer).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Page(query.clone()),
        };
        let answer = |state: &mut State| {
            state.must_have(table)?;
            let page = state.rows.page(table, query, cursor);
            let mut page = page.map_err(|error| {
                TransportError::new(TransportErrorKind::BadQuery, error.to_string())
            })?;
            page.invalid = std::mem::take(&mut state.invalid);
            page.server_id.clone_from(&state.identity.announces);
            page.forgotten = state.rows.forgotten(table);
            page.records = page
                .records
                .into_iter()
                .map(|row| state.as_shown(row))
                .collect();
            Ok(page)
        };
        self.serve(request, answer).await
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        let has_feed = self.state().rows.options.feed.is_some();
        has_feed.then_some(self as &dyn ChangeFeed)
    }

    fn capabilities(&self) -> TransportCapabilities {
        let state = self.state();
        let mut capabilities = TransportCapabilities::default();
        let keeps = state.rows.options.operation_ids;
        capabilities.operation_ids_kept = keeps.then_some(KEPT);
        let units = state.rows.options.units;
        let batches = state.rows.options.batches.map(BatchLimits::of);
        capabilities.batches = batches.map(|limits| limits.with_units(units));
        capabilities.partial_updates = state.rows.options.announces_members;
        capabilities.server_time = Some(state.rows.now);
        capabilities.server_id.clone_from(&state.identity.heard);
        capabilities
    }

    fn address(&self) -> Option<String> {
        self.state().identity.address.clone()
    }

    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(self.of_account(account)))
    }

    fn begin_push(&self) {
        self.state().identity.heard = None;
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.state().renewals += 1;
        Ok(false)
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl ChangeFeed for TestServer {
    async fn changes(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Changes(from.cloned()),
        };
        let answer = |state: &mut State| {
            state.must_have(table)?;
            let mut answer = state.rows.changes(table, query, from)?;
            if let FeedAnswer::Page(page) = &mut answer {
                page.invalid = std::mem::take(&mut state.invalid);
                page.server_id.clone_from(&state.identity.announces);
                for change in &mut page.changes {
                    if let FeedChange::Row(row) = change {
                        *row = state.as_shown(row.clone());
                    }
                }
            }
            Ok(answer)
        };
        self.serve(request, answer).await
    }
}
