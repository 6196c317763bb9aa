//! Feeds of changes: servers that tell by themselves what changed since a position.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::{InvalidRow, TransportError, TransportErrorKind};
use crate::name::{RecordId, TableName};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::threads::{MaybeSend, MaybeSync};

/// A server that tells what changed since a position of its own: `_changes` of `CouchDB`, delta links of Microsoft Graph.
///
/// A transport gives one by [`Transport::feed`](super::Transport::feed). Pulls with a name then follow the feed, and ask for no
/// times; everything else (pulls in full, audits) goes on by [`page`](super::Transport::page) and [`get`](super::Transport::get).
///
/// The server promises:
///
/// * **Whole rows.** A row has all its members, as `get` would show it. Where the server tells changed members alone, the
///   transport reads the rows. Times are not needed; where the server has them, rows carry them, as between two processes over one
///   store they tell which of two rows is the newer one.
/// * **Nothing is skipped.** What changes while pages are read comes with one of them, or behind the position at the end. The same change may
///   come twice.
/// * **From the start** (no token) come all rows that the query describes. What was deleted before need not come: the engine looks
///   after what is here and did not come by reading it by its id.
/// * **No position hides a deletion.** A token behind which the server does not know all deletions any more is
///   [`Expired`](FeedAnswer::Expired), and never answered as if nothing had been deleted. Those of a walk that began at the start since are none of
///   these: it has nothing to tell of deletions from before.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait ChangeFeed: Debug + MaybeSend + MaybeSync {
    /// What changed behind `from` among what `query` describes; without a token from the start.
    ///
    /// [`Query::page`](crate::query::Query::page) says how many changes are welcome at once; an empty page may have others behind it. A record that stopped
    /// matching the query is [`Left`](FeedChange::Left).
    ///
    /// # Errors
    ///
    /// As those of other reads: the engine repeats the request, or ends the pull, which goes on from the last token that was stored. A token that
    /// the server does not take is no error but [`Expired`](FeedAnswer::Expired).
    ///
    /// # Cancellation
    ///
    /// Dropping the future is safe: it reads.
    async fn changes(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, TransportError>;
}

/// A place in a feed, in the server's own terms. The engine keeps it and looks at nothing in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedToken(Arc<str>);

impl FeedToken {
    /// The longest token, in bytes: it is written with every page.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Wraps the server's text.
    ///
    /// # Errors
    ///
    /// [`Protocol`](TransportErrorKind::Protocol) for one that is empty or too long.
    pub fn new(text: &str) -> Result<Self, TransportError> {
        if text.is_empty() || text.len() > Self::MAX_LENGTH {
            let length = text.len();
            let message = format!("the server's position is {length} bytes long");
            return Err(TransportError::new(TransportErrorKind::Protocol, message));
        }
        Ok(Self(text.into()))
    }

    /// The server's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer of a feed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FeedAnswer {
    /// Changes, perhaps none.
    Page(FeedPage),
    /// The token is not known (any more), or the server has forgotten deletions behind it. One of the middle of a walk falls back to
    /// the last position; else everything is read from the start, and local records that do not come leave, unless they have
    /// operations or a read by id finds them.
    Expired,
}

/// One page of changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FeedPage {
    /// The changes in the server's order: of a record that comes twice the last one counts.
    pub changes: Vec<FeedChange>,
    /// Rows that are no records; they are reported and left out.
    pub invalid: Vec<InvalidRow>,
    /// What to ask for next.
    pub next: FeedNext,
    /// How many changes there are behind what was asked for, this page's among them, where the server says.
    pub total: Option<u64>,
    /// What the server announced in this answer as its own id, as [`RemotePage::server_id`](super::RemotePage::server_id).
    pub server_id: Option<String>,
}

impl FeedPage {
    /// A page and what to ask for next.
    pub fn new(changes: Vec<FeedChange>, next: FeedNext) -> Self {
        Self {
            changes,
            invalid: Vec::new(),
            next,
            total: None,
            server_id: None,
        }
    }
}

/// One change that a feed tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FeedChange {
    /// The record as it now is, whole; perhaps a tombstone.
    Row(Record),
    /// There is no such record any more.
    Deleted(RecordId),
    /// The query does not describe the record any more, or this user may not see it any more; it may be there.
    Left(RecordId),
}

/// What to ask a feed for next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedNext {
    /// For now nothing follows. Every change up to this position was told.
    Done(FeedToken),
    /// More follows. Every change up to this position was told, and it may be asked about at any later time.
    Position(FeedToken),
    /// More of this walk follows. The token may be refused later; then the walk begins again at the last position.
    Resume(FeedToken),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bounded() {
        let longest = "t".repeat(FeedToken::MAX_LENGTH);
        assert_eq!(FeedToken::new(&longest).unwrap().as_str(), longest);
        for text in ["", &format!("{longest}t")] {
            let error = FeedToken::new(text).unwrap_err();
            assert_eq!(error.kind(), TransportErrorKind::Protocol);
        }
    }
}
