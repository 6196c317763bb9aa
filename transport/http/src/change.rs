//! One change: the request that it is, and what the answer to that means.

use std::borrow::Cow;

use http::header::IF_MATCH;
use http::{HeaderMap, Method};
use synctable_core::transport::{
    Change, Conflict, Outcome, Rejection, ServerRecord, Transport, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{TableName, Version};

use crate::client::Answer;
use crate::dialect::Call;
use crate::header::{self, OPERATION_ID};
use crate::outcome;
use crate::transport::HttpTransport;

/// What a change comes to on the wire.
#[derive(Debug)]
pub(crate) enum Plan<'a> {
    /// A request.
    Request(Box<Prepared<'a>>),
    /// There is nothing to send: the server is asked whether the change still holds.
    Untouched,
    /// It is not sent, and this is why.
    Refused(Rejection),
}

/// The request of a change.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) change: Cow<'a, Change>,
    pub(crate) call: Call,
    /// On which conditions, and under which id.
    pub(crate) conditions: HeaderMap,
}

impl HttpTransport {
    /// Sends one change: a request, or two where the dialect cannot say it in one.
    pub(crate) async fn send_change(
        &self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        let outcome = self.send_first(table, change).await?;
        if let Outcome::Applied(Some(server)) = &outcome
            && let Some(rest) = self.wire.rest(change, server)?
        {
            // Should this be lost, the server has the record on another version than the change is based on: a conflict.
            return self.send_first(table, &rest).await.map_err(half_done);
        }
        Ok(outcome)
    }

    /// Sends the first request of a change, or finds out that there is nothing to send.
    async fn send_first(
        &self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        match self.plan(change)? {
            Plan::Request(prepared) => {
                let sent = self.send(table, &prepared.call, &prepared.conditions);
                prepared.judge(sent.await?, self.limits.bytes)
            }
            Plan::Untouched => self.untouched(table, &without_empty_version(change)).await,
            Plan::Refused(why) => Ok(Outcome::Rejected(why)),
        }
    }

    /// What a change comes to on the wire. An error is a change that cannot be said.
    pub(crate) fn plan<'a>(&self, change: &'a Change) -> Result<Plan<'a>, TransportError> {
        let change = without_empty_version(change);
        let Some(call) = self.wire.change(&change)? else {
            return Ok(Plan::Untouched);
        };
        let limit = self.limits.bytes;
        if call.body.as_ref().is_some_and(|body| body.len() > limit) {
            let message = format!("the record is larger than {limit} bytes; it was not sent");
            return Ok(Plan::Refused(Rejection::new(None, message)));
        }
        let mut conditions = HeaderMap::new();
        if let Some(version) = &change.if_match {
            conditions.insert(IF_MATCH, header::entity_tag(version)?);
        }
        if let Some(key) = &change.operation_id {
            conditions.insert(OPERATION_ID, header::value(key, "the operation id")?);
        }
        let prepared = Prepared {
            change,
            call,
            conditions,
        };
        Ok(Plan::Request(Box::new(prepared)))
    }

    /// A change that changes nothing: done, if the server's record still is the one on which it is based.
    async fn untouched(
        &self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        Ok(match self.get(table, &change.id).await? {
            Some(server)
                if !server.is_deleted()
                    && (change.if_match.is_none()
                        || server.version() == change.if_match.as_ref()) =>
            {
                Outcome::Applied(Some(server))
            }
            Some(server) => Outcome::Conflict(Conflict::new(ServerRecord::Known(server))),
            None => Outcome::Missing,
        })
    }
}

impl Prepared<'_> {
    /// What an answer to this request means, whichever way it came.
    pub(crate) fn judge(
        &self,
        answer: Answer,
        record_limit: usize,
    ) -> Result<Outcome, TransportError> {
        if self.call.method == Method::PATCH
            && self.change.members.is_some()
            && outcome::is_whole_only(&answer)
        {
            return Ok(Outcome::WholeOnly);
        }
        outcome::of_change(&self.change, answer, record_limit)
    }
}

/// The change as it is sent: an empty version is none, as no record can be asked to have it.
fn without_empty_version(change: &Change) -> Cow<'_, Change> {
    let version = change.if_match.as_ref().map(Version::as_str);
    if version == Some("") {
        Cow::Owned(change.clone().with_if_match(None))
    } else {
        Cow::Borrowed(change)
    }
}

/// The failure of the second of two requests: whatever became of it, the first one has had its effect.
fn half_done(error: TransportError) -> TransportError {
    if !error.kind().had_no_effect() {
        return error;
    }
    let message = "the record came back at the server, but what it shall hold did not arrive";
    let mut half = TransportError::new(Kind::Broken, message).with_server_time(error.server_time());
    if let Some(status) = error.status() {
        half = half.with_status(status);
    }
    if let Some(delay) = error.retry_after() {
        half = half.with_retry_after(delay);
    }
    half.with_source(error)
}
