//! Following the server's own feed of changes: what to ask for, and what to make of an answer.
//!
//! A walk goes on from the position that is kept, or from a place in the middle of an earlier walk. Where the server refuses that place, it goes on
//! from the position; where it refuses the position, from the start.
//!
//! What comes from the start says nothing of what was deleted before. So whatever is here then, and does not come, is asked about at
//! the end ([`sweep`](super::sweep)), and the position stays where it was until that is done: a pull that is cut off begins anew. Only a
//! walk that began in an empty table may be gone on with.
//!
//! An earlier walk may end at a position of its own time, so what changed since is asked for at once.

use std::collections::HashSet;

use crate::error::Error;
use crate::name::{QueryId, RecordId, TableName};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::sync::inner::Inner;
use crate::sync::pull::position::{is_empty, stored_position};
use crate::sync::pull::seen::Sweep;
use crate::sync::pull::walk::Then;
use crate::sync::system::DeltaToken;
use crate::transport::{FeedAnswer, FeedChange, FeedNext, FeedPage, FeedToken};

/// How often in a row a page may lead to one that was asked for before, as where a server is not ready yet.
const REPEATS: u32 = 1;

/// How often the server may refuse its tokens in one pull.
const EXPIRIES: u32 = 8;

/// The state of a pull along a feed.
#[derive(Debug)]
pub(crate) struct Follow {
    token: DeltaToken,
    /// The token's row as it is stored.
    stored: Option<Record>,
    at: At,
    /// The tokens of this walk, and how many of the last pages led to one that was there before.
    led: HashSet<FeedToken>,
    repeated: u32,
    expiries: u32,
    /// The walk was begun by an earlier pull.
    earlier: bool,
    /// Where deletions may have been missed: the rows that are there.
    sweep: Option<Sweep>,
}

/// Where a walk goes on.
#[derive(Debug, Clone)]
enum At {
    Start,
    Position(FeedToken),
    Resume(FeedToken),
}

/// What an answer comes to.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The rows that are new to this pull; tombstones of those that are gone.
    pub(crate) rows: Vec<Record>,
    /// Of the tombstones those of records that may still be there: they only left the query.
    pub(crate) left: HashSet<RecordId>,
    /// The position to keep with them.
    pub(crate) token: Option<Record>,
    pub(crate) then: Then,
}

impl Follow {
    pub(crate) async fn load(
        inner: &Inner,
        table: &TableName,
        query: &RemoteQuery,
        name: QueryId,
    ) -> Result<Self, Error> {
        let (stored, mut token) = stored_position(inner, table, query, name).await?;
        if token.time.is_some() {
            // The server had no feed: a time is no place in one.
            token.begin_anew();
        }
        token.forgotten = None;
        let empty = !token.has_begun() && is_empty(inner, table).await?;
        Ok(Self::new(token, stored, empty))
    }

    fn new(token: DeltaToken, stored: Option<Record>, empty: bool) -> Self {
        // A token that a damaged row holds is as good as none.
        let read = |text: &Option<String>| FeedToken::new(text.as_deref()?).ok();
        let at = match (read(&token.resume), read(&token.position)) {
            (Some(resume), _) => At::Resume(resume),
            (None, Some(position)) => At::Position(position),
            (None, None) => At::Start,
        };
        let sweep = matches!(at, At::Start) && !empty;
        let earlier = matches!(at, At::Resume(_));
        Self {
            token,
            stored,
            at,
            led: HashSet::new(),
            repeated: 0,
            expiries: 0,
            earlier,
            sweep: sweep.then(Sweep::default),
        }
    }

    /// Where to ask from.
    pub(crate) fn from(&self) -> Option<&FeedToken> {
        match &self.at {
            At::Start => None,
            At::Position(token) | At::Resume(token) => Some(token),
        }
    }

    /// What is to be swept once all rows are stored.
    pub(crate) fn into_sweep(self) -> Option<Sweep> {
        self.sweep
    }

    /// Takes the answer to the last request.
    pub(crate) fn take(&mut self, answer: FeedAnswer) -> Result<Taken, Error> {
        let FeedAnswer::Page(page) = answer else {
            return Ok(self.expired());
        };
        if let Some(sweep) = &mut self.sweep {
            see(sweep, &page);
        }
        let then = self.go_on(&page.next);
        let (rows, left) = rows_of(page.changes);
        let row = self.token.to_row()?;
        let changed = self.stored.as_ref() != Some(&row);
        let token = changed.then_some(row);
        let token = match &mut self.sweep {
            // The position is kept once the sweep is done.
            Some(sweep) => {
                sweep.token = token;
                None
            }
            None => {
                self.stored = token.clone().or(self.stored.take());
                token
            }
        };
        Ok(Taken {
            rows,
            left,
            token,
            then,
        })
    }

    /// Moves on to what the server leads to.
    fn go_on(&mut self, next: &FeedNext) -> Then {
        let (at, token) = match next {
            FeedNext::Done(token) | FeedNext::Position(token) => {
                self.token.position = Some(token.as_str().to_owned());
                self.token.resume = None;
                (At::Position(token.clone()), token)
            }
            FeedNext::Resume(token) => {
                self.token.resume = Some(token.as_str().to_owned());
                (At::Resume(token.clone()), token)
            }
        };
        let here = self.from() == Some(token);
        self.at = at;
        if matches!(next, FeedNext::Done(_)) {
            return if std::mem::take(&mut self.earlier) {
                Then::More
            } else {
                Then::Done
            };
        }
        if self.led.insert(token.clone()) && !here {
            self.repeated = 0;
        } else {
            self.repeated += 1;
        }
        if self.repeated > REPEATS {
            Then::NoProgress
        } else {
            Then::More
        }
    }

    /// The server does not know the token: the walk falls back to the position behind which it began, or to the start.
    fn expired(&mut self) -> Taken {
        self.expiries += 1;
        let mut then = Then::More;
        let position = self.token.position.as_deref();
        let position = position.and_then(|text| FeedToken::new(text).ok());
        match (&self.at, position) {
            // There is no token that could be refused.
            (At::Start, _) => then = Then::NoProgress,
            (At::Resume(_), Some(position)) => self.at = At::Position(position),
            (At::Resume(_), None) | (At::Position(_), _) => {
                self.token.begin_anew();
                self.at = At::Start;
                // What came so far may have been deleted since, and would not come again.
                self.sweep = Some(Sweep::default());
            }
        }
        (self.token.resume, self.earlier) = (None, false);
        self.led.clear();
        self.repeated = 0;
        if self.expiries > EXPIRIES {
            then = Then::NoProgress;
        }
        Taken {
            rows: Vec::new(),
            left: HashSet::new(),
            token: None,
            then,
        }
    }
}

/// Takes note of what there is; rows that cannot be read are there, too.
fn see(sweep: &mut Sweep, page: &FeedPage) {
    let invalid = page.invalid.iter().filter_map(|row| row.id.as_deref());
    let changes = page.changes.iter().map(|change| match change {
        FeedChange::Row(row) => row.id().as_str(),
        FeedChange::Deleted(id) | FeedChange::Left(id) => id.as_str(),
    });
    sweep.see_ids(changes.chain(invalid));
}

/// The rows, with tombstones for what is gone, and which of those may only have left the query.
fn rows_of(changes: Vec<FeedChange>) -> (Vec<Record>, HashSet<RecordId>) {
    let mut left = HashSet::new();
    let rows = changes.into_iter().map(|change| match change {
        FeedChange::Row(row) => {
            left.remove(row.id());
            row
        }
        FeedChange::Deleted(id) => {
            left.remove(&id);
            Record::tombstone(&id)
        }
        FeedChange::Left(id) => {
            let row = Record::tombstone(&id);
            left.insert(id);
            row
        }
    });
    let rows = rows.collect();
    (rows, left)
}
