//! The way of a pull to its rows: through the server's pages, or along its own feed of changes.

use std::collections::HashSet;

use crate::error::Error;
use crate::name::{QueryId, TableName};
use crate::query::RemoteQuery;
use crate::sync::inner::Inner;
use crate::sync::pull::follow::{Follow, Taken};
use crate::sync::pull::seen::Sweep;
use crate::sync::pull::walk::{PageEffect, Then, Walk};
use crate::transport::{FeedAnswer, FeedToken, InvalidRow, PageCursor, RemotePage};

/// Where a pull is.
#[derive(Debug)]
pub(crate) enum Way {
    /// It asks for pages, each by a query of its own.
    Walk(Walk),
    /// It follows the server's feed.
    Feed(Box<Follow>),
}

/// What to ask for.
#[derive(Debug)]
pub(crate) enum Request {
    Page(RemoteQuery, Option<PageCursor>),
    Changes(RemoteQuery, Option<FeedToken>),
}

/// What came.
#[derive(Debug)]
pub(crate) enum Answer {
    Page(RemotePage),
    Changes(FeedAnswer),
}

impl Way {
    /// The way of a pull: under `name` from its position on, else in full.
    pub(crate) async fn of(
        inner: &Inner,
        has_feed: bool,
        table: &TableName,
        query: &RemoteQuery,
        name: Option<QueryId>,
    ) -> Result<Self, Error> {
        match name {
            Some(name) if has_feed => {
                let follow = Follow::load(inner, table, query, name).await?;
                Ok(Self::Feed(Box::new(follow)))
            }
            name => Ok(Self::Walk(Walk::of(inner, table, query, name).await?)),
        }
    }

    /// The next request for what `base` describes; `page`: how many rows are welcome at once, `total`: whether to tell how much there is.
    pub(crate) fn request(&self, base: &RemoteQuery, page: u32, total: bool) -> Request {
        let sized = |mut query: RemoteQuery| {
            query.query.page = Some(page);
            query.total = total;
            query
        };
        match self {
            Self::Walk(walk) => {
                let (query, cursor) = walk.request(base);
                Request::Page(sized(query), cursor)
            }
            Self::Feed(follow) => Request::Changes(sized(base.clone()), follow.from().cloned()),
        }
    }

    /// Takes the answer to the last request.
    pub(crate) fn take(&mut self, answer: Answer) -> Result<Taken, Error> {
        match (self, answer) {
            (Self::Walk(walk), Answer::Page(page)) => {
                let PageEffect { rows, token, then } = walk.take(page)?;
                let left = HashSet::new();
                Ok(Taken {
                    rows,
                    left,
                    token,
                    then,
                })
            }
            (Self::Feed(follow), Answer::Changes(answer)) => follow.take(answer),
            // An answer to something else: it cannot come, and moves nothing on.
            (Self::Walk(_), Answer::Changes(_)) | (Self::Feed(_), Answer::Page(_)) => Ok(Taken {
                rows: Vec::new(),
                left: HashSet::new(),
                token: None,
                then: Then::NoProgress,
            }),
        }
    }

    /// What is to be swept once all rows are stored.
    pub(crate) fn into_sweep(self) -> Option<Sweep> {
        match self {
            Self::Walk(walk) => walk.into_sweep(),
            Self::Feed(follow) => follow.into_sweep(),
        }
    }
}

impl Answer {
    /// How much there is, where it was asked for and told.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            Self::Page(page) => page.total,
            Self::Changes(FeedAnswer::Page(page)) => page.total,
            Self::Changes(FeedAnswer::Expired) => None,
        }
    }

    /// The rows that are no records.
    pub(crate) fn invalid(&self) -> &[InvalidRow] {
        match self {
            Self::Page(page) => &page.invalid,
            Self::Changes(FeedAnswer::Page(page)) => &page.invalid,
            Self::Changes(FeedAnswer::Expired) => &[],
        }
    }
}
