//! The feed of changes of a [`TestServer`](super::TestServer): what changed since a position, in two makes.

use std::collections::BTreeMap;

use synctable_core::query::{Evaluator, RemoteQuery};
use synctable_core::transport::{
    FeedAnswer, FeedChange, FeedNext, FeedPage, FeedToken, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName, TableSchema};

use super::rows::Rows;

/// How a server tells changes by itself; see [`ServerOptions::feed`](super::ServerOptions::feed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedMake {
    /// Every page ends at a position, as those of `CouchDB`.
    Positions,
    /// Pages lead to the next one of the same walk, which the server may forget, and only the last one ends at a position, as those of Microsoft
    /// Graph.
    Walks,
}

/// What changed, in order, and what the server makes of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    /// The last change of each record, and the number of the last change.
    last: BTreeMap<TableName, BTreeMap<RecordId, u64>>,
    number: u64,
    /// Positions before these are refused, unless they were given later.
    horizon: BTreeMap<TableName, u64>,
    /// How often positions were refused.
    epoch: u64,
    /// Which walks are refused: those before this one.
    walk: u64,
    /// So many pages to come are empty, and lead on.
    pub(super) idle: u32,
    /// Every page is empty and leads to itself.
    pub(super) stalls: bool,
}

/// A token as the server reads it.
enum Place {
    Start,
    /// Behind a change, given in an epoch.
    Position(u64, u64),
    /// In the walk from the start that began at a change, behind an id.
    Ids(u64, String),
    /// In the walk that ends at a change, behind another.
    Numbers(u64, u64),
}

impl Log {
    pub(super) fn note(&mut self, table: &TableName, id: &RecordId) {
        self.number += 1;
        let table = self.last.entry(table.clone()).or_default();
        table.insert(id.clone(), self.number);
    }

    /// Positions of a table that are not the newest are refused from now on.
    pub(super) fn expire(&mut self, table: &TableName) {
        self.horizon.insert(table.clone(), self.number);
        self.epoch += 1;
        self.end_walks();
    }

    /// Walks that are under way are refused from now on.
    pub(super) fn end_walks(&mut self) {
        self.walk += 1;
    }

    fn read(&self, table: &TableName, token: Option<&FeedToken>) -> Option<Place> {
        let Some(token) = token else {
            return Some(Place::Start);
        };
        let text = token.as_str().split('~').next()?;
        let mut parts = text.splitn(4, '-');
        let (kind, first) = (parts.next()?, parts.next()?.parse().ok()?);
        if kind == "p" {
            let given: u64 = parts.next()?.parse().ok()?;
            let known = given == self.epoch || first >= self.horizon(table);
            return known.then_some(Place::Position(first, given));
        }
        let (end, after) = (parts.next()?.parse().ok()?, parts.next()?);
        match kind {
            _ if first != self.walk => None,
            "i" => Some(Place::Ids(end, after.to_owned())),
            _ => Some(Place::Numbers(end, after.parse().ok()?)),
        }
    }

    fn horizon(&self, table: &TableName) -> u64 {
        self.horizon.get(table).copied().unwrap_or_default()
    }

    /// The position behind a change, for a walk that began in an epoch: it lasts as long as nothing behind it is forgotten.
    fn position(&self, table: &TableName, number: u64, epoch: u64) -> FeedToken {
        let epoch = if number >= self.horizon(table) {
            self.epoch
        } else {
            epoch
        };
        token(&format!("p-{number}-{epoch}"))
    }

    /// The records that changed behind a number, in the order of their last changes.
    fn behind(&self, table: &TableName, number: u64) -> Vec<(u64, RecordId)> {
        let last = self.last.get(table).into_iter().flatten();
        let behind = last.filter(|(_, last)| **last > number);
        let mut behind: Vec<_> = behind.map(|(id, last)| (*last, id.clone())).collect();
        behind.sort();
        behind
    }
}

fn token(text: &str) -> FeedToken {
    FeedToken::new(text).expect("the server's tokens are short")
}

impl Rows {
    /// The answer of the feed.
    pub(super) fn changes(
        &mut self,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, TransportError> {
        let Some(make) = self.options.feed else {
            let kind = TransportErrorKind::BadRequest;
            return Err(TransportError::new(kind, "the server has no feed"));
        };
        let Some(place) = self.log.read(table, from) else {
            return Ok(FeedAnswer::Expired);
        };
        if self.log.stalls || self.log.idle > 0 {
            return Ok(FeedAnswer::Page(self.empty_page(from)));
        }
        let page = query.query.page.unwrap_or(self.options.page);
        let page = page.min(self.options.page) as usize;
        let now = (self.log.number, self.log.epoch);
        Ok(FeedAnswer::Page(match (place, make) {
            (Place::Start, FeedMake::Walks) => self.snapshot(table, query, now.0, None, page),
            (Place::Ids(end, after), _) => self.snapshot(table, query, end, Some(&after), page),
            (Place::Start, FeedMake::Positions) => self.since(table, query, (0, now.1), None, page),
            (Place::Position(number, epoch), FeedMake::Positions) => {
                self.since(table, query, (number, epoch), None, page)
            }
            (Place::Position(number, epoch), FeedMake::Walks) => {
                self.since(table, query, (number, epoch), Some(now.0), page)
            }
            (Place::Numbers(end, number), _) => {
                self.since(table, query, (number, now.1), Some(end), page)
            }
        }))
    }

    fn empty_page(&mut self, from: Option<&FeedToken>) -> FeedPage {
        let here = from.map_or_else(
            || format!("p-0-{}", self.log.epoch),
            |from| from.as_str().to_owned(),
        );
        let next = if self.log.stalls {
            here
        } else {
            let left = self.log.idle;
            self.log.idle -= 1;
            format!("{}~{left}", here.split('~').next().unwrap_or_default())
        };
        let next = if next.starts_with('p') {
            FeedNext::Position(token(&next))
        } else {
            FeedNext::Resume(token(&next))
        };
        FeedPage::new(Vec::new(), next)
    }

    /// The rows that there are, by id; from the start nothing is told of those that are gone.
    fn snapshot(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        end: u64,
        after: Option<&str>,
        page: usize,
    ) -> FeedPage {
        let mut rows = self.live(table);
        rows.retain(|row| {
            after.is_none_or(|after| row.id().as_str() > after) && matches(query, row)
        });
        let more = rows.len() > page;
        rows.truncate(page);
        let next = match rows.last() {
            Some(last) if more => {
                FeedNext::Resume(token(&format!("i-{}-{end}-{}", self.log.walk, last.id())))
            }
            _ => FeedNext::Done(self.log.position(table, end, self.log.epoch)),
        };
        FeedPage::new(rows.into_iter().map(FeedChange::Row).collect(), next)
    }

    /// What changed behind a number; in a walk that began when the last change was `end`, which its position will be.
    fn since(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        (number, epoch): (u64, u64),
        end: Option<u64>,
        page: usize,
    ) -> FeedPage {
        let mut behind = self.log.behind(table, number);
        let total = behind.len() as u64;
        let more = behind.len() > page;
        behind.truncate(page);
        let last = behind.last().map_or(number, |(number, _)| *number);
        let next = match end {
            Some(end) if more => {
                FeedNext::Resume(token(&format!("n-{}-{end}-{last}", self.log.walk)))
            }
            Some(end) => FeedNext::Done(self.log.position(table, end, epoch)),
            None if more => FeedNext::Position(self.log.position(table, last, epoch)),
            None => FeedNext::Done(self.log.position(table, self.log.number, epoch)),
        };
        let changes = behind
            .into_iter()
            .map(|(_, id)| match self.get(table, &id) {
                Some(row) if row.is_deleted() => FeedChange::Row(row),
                Some(row) if matches(query, &row) => FeedChange::Row(row),
                Some(_) => FeedChange::Left(id),
                None => FeedChange::Deleted(id),
            });
        let mut page = FeedPage::new(changes.collect(), next);
        page.total = query.total.then_some(total);
        page
    }

    /// Nothing is told of deletions that were forgotten.
    pub(super) fn forget_in_log(&mut self, table: &TableName) {
        let there: Vec<RecordId> = self
            .live(table)
            .iter()
            .map(|row| row.id().clone())
            .collect();
        if let Some(last) = self.log.last.get_mut(table) {
            last.retain(|id, _| there.contains(id));
        }
        self.log.expire(table);
    }
}

fn matches(query: &RemoteQuery, row: &Record) -> bool {
    let schema = TableSchema::new();
    let evaluator = Evaluator::new(&schema);
    let filter = query.query.filter.as_ref();
    filter.is_none_or(|filter| evaluator.matches(filter, row))
}
