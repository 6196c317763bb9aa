//! Pages: asking for them, and what to make of them.

use std::sync::atomic::Ordering;

use http::{HeaderMap, Method};
use synctable_core::TableName;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    PageCursor, RemotePage, TransportError, TransportErrorKind as Kind,
};
use synctable_wire::header::{ORDERED_BY_TIME, ORDERED_BY_TIME_AND_ID};

use crate::client::Answer;
use crate::dialect::Call;
use crate::header::{self, ORDERED};
use crate::page::{self, Listing, ListingError};
use crate::place::Place;
use crate::transport::HttpTransport;
use crate::url;

impl HttpTransport {
    /// One page: the first one of `query`, or the one at `cursor`.
    pub(crate) async fn read(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let wish = self.wish(query);
        let (call, mut answer) = match cursor {
            Some(cursor) => {
                let place = Place::of(cursor.as_str()).ok_or_else(|| {
                    let message = "the cursor names no place, so this transport did not give it";
                    TransportError::new(Kind::BadRequest, message)
                })?;
                let call = self.call_at(&place, query, wish)?;
                let answer = self.send(table, &call, &HeaderMap::new()).await?;
                (call, answer)
            }
            None => self.first_page(table, query, wish).await?,
        };
        let mut listing = self.read_page(&mut answer)?;
        // A page as large as it was asked to be ends the request, not the result: no link then says nothing.
        let full = url::top_of(&call.query).is_some_and(|top| {
            query.query.top.is_none_or(|wanted| top < wanted)
                && u64::try_from(listing.rows()).is_ok_and(|rows| rows >= top)
        });
        if query.query.top == Some(0) {
            listing.records.clear();
            listing.invalid.clear();
        }
        let mut page = RemotePage::default();
        page.last = listing.linked && !listing.more && !full && self.wire.quirks().absent_link_ends;
        page.records = listing.records;
        page.invalid = listing.invalid;
        // A link without a place that can be used still says that there is more. Who follows it goes on by count.
        page.next = listing
            .link
            .filter(|_| listing.linked)
            .and_then(|link| Place::of(&link))
            .map(|place| PageCursor::new(&place.to_string()));
        page.total = listing.count;
        page.server_time = header::server_time(&answer.headers);
        page.server_id = header::server_id(&answer.headers);
        page.forgotten = header::forgotten(&answer.headers);
        page.ordered = [ORDERED_BY_TIME, ORDERED_BY_TIME_AND_ID]
            .into_iter()
            .any(|value| header::says(&answer.headers, &ORDERED, value));
        Ok(page)
    }

    /// The request for the page at a place: the same query as for the first one, but for where it starts and how many rows are left.
    fn call_at(
        &self,
        place: &Place,
        query: &RemoteQuery,
        wish: Option<u64>,
    ) -> Result<Call, TransportError> {
        let mut query = query.clone();
        query.query.skip = place.skip;
        let top = [place.top.or(wish), query.query.top]
            .into_iter()
            .flatten()
            .min();
        let text = self.wire.query(&query, top)?;
        Ok(page_call(place.joined(text)))
    }

    /// Asks for the first page. A server that refuses a page of the size wished is asked for one of its own size.
    async fn first_page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        wish: Option<u64>,
    ) -> Result<(Call, Answer), TransportError> {
        let least = u64::from(self.wire.quirks().most_rows.is_some());
        let top = [query.query.top, wish]
            .into_iter()
            .flatten()
            .min()
            .map(|top| top.max(least));
        if self.wire.quirks().fails_on_filters {
            self.check_functions(table, query).await?;
        }
        let call = page_call(self.wire.query(query, top)?);
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        if answer.status == 500
            && self.wire.quirks().fails_on_filters
            && query.query.filter.is_some()
        {
            return Err(self.blame(table, query, answer).await);
        }
        let Some(wish) = wish.filter(|_| answer.status == 400) else {
            return Ok((call, answer));
        };
        let call = page_call(self.wire.query(query, query.query.top)?);
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        if answer.status == 200 {
            self.refused_top.fetch_min(wish, Ordering::Relaxed);
        }
        Ok((call, answer))
    }

    /// What made the server fail: the filter, if it answers without it.
    async fn blame(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        failed: Answer,
    ) -> TransportError {
        let mut plain = query.clone();
        plain.query.filter = None;
        if let Ok(query) = self.wire.query(&plain, Some(1))
            && let Ok(answer) = self.send(table, &page_call(query), &HeaderMap::new()).await
            && answer.status == 200
        {
            let what = format!(
                "cannot take the filter, as it answers without it: {}; use a simpler one",
                failed.words()
            );
            return failed.error(Kind::BadQuery, &what);
        }
        failed.refusal(Kind::BadQuery)
    }

    /// The most rows wanted in a page, where that is less than all rows wanted.
    fn wish(&self, query: &RemoteQuery) -> Option<u64> {
        let limit = u64::try_from(self.limits.rows).unwrap_or(u64::MAX);
        let most = self.wire.quirks().most_rows.map(u64::from);
        let page = query
            .query
            .page
            .map(u64::from)
            .or(query.query.top.and(most))?;
        let page = page.min(limit).min(most.unwrap_or(u64::MAX));
        let taken = page < self.refused_top.load(Ordering::Relaxed);
        (taken && query.query.top.is_none_or(|top| page < top)).then_some(page)
    }

    /// The rows of an answer, and what it says of the next ones.
    pub(crate) fn read_page(&self, answer: &mut Answer) -> Result<Listing, TransportError> {
        if answer.status != 200 {
            return Err(answer.refusal(Kind::BadQuery));
        }
        let body = std::mem::replace(&mut answer.body, Ok(Vec::new()))?;
        page::listing(&body, self.limits).map_err(|error| match error {
            ListingError::NotAPage(what) => answer.error(Kind::Protocol, &what),
            ListingError::TooManyRows => {
                let what = format!("gave a page of more than {} rows", self.limits.rows);
                answer.error(Kind::TooLarge, &what)
            }
        })
    }
}

/// A request for rows of a table.
pub(crate) fn page_call(query: String) -> Call {
    Call {
        query,
        ..Call::new(Method::GET, None)
    }
}
