//! Reading pages and single records.

use http::StatusCode;
use synctable_core::query::{
    Cursor, CursorError, Direction, Evaluator, Query, RemoteQuery, Window, field,
};
use synctable_core::store::{LocalStoreExt, StoreError};
use synctable_core::{Record, RecordId};
use synctable_wire::Links;
use synctable_wire::parameter::{INLINE_COUNT, SKIP_TOKEN};

use crate::answers;
use crate::conditional::{Conditions, Intent, Verdict};
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::handler::Call;
use crate::links;
use crate::names;
use crate::respond::{self, Response};
use crate::tombstones;

/// `GET` of a table: a page of records, and where the next one is.
///
/// The next page starts behind the last record *by value* (the store's cursor), not after a number of records, so a
/// record that does not change between two pages is neither skipped nor given twice.
pub(crate) async fn list(call: &Call<'_>) -> Result<Response, Failure> {
    let (scans, table) = (&call.core.scans, &call.table);
    let asked = read_query(call)?;
    let count = match (asked.total, table.is_made) {
        (false, _) => None,
        (true, false) => Some(0),
        (true, true) => Some(scans.count(&table.name, &asked.query).await?),
    };
    let top = asked.query.top;
    let (items, next) = match top {
        Some(0) => (Vec::new(), None),
        _ if !table.is_made => (Vec::new(), None),
        _ => page(call, &asked).await?,
    };
    let left = top.map(|top| top.saturating_sub(items.len() as u64));
    let form = call.dialect().links(call.headers);
    let next = next.map(|cursor| {
        let next = call.parameters.next_page(cursor.as_str(), left);
        links::to_page(call, form, next)
    });
    let mut response = respond::list(call.dialect().list(&items, count, next.as_deref()));
    if let (Links::Header, Some(url)) = (form, next) {
        respond::mark_next(&mut response, &url);
    }
    respond::mark_ordered(&mut response);
    if call.include_deleted && table.rules().soft_delete {
        // After the records were read: what is removed from now on is not missed here.
        let forgotten = tombstones::forgotten(&*call.core.store, &table.name).await?;
        respond::mark_forgotten(&mut response, forgotten);
    }
    Ok(response)
}

/// `GET` of one record.
pub(crate) async fn one(call: &Call<'_>, id: &RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, call.dialect(), Intent::Read)?;
    let stored = call.core.store.get_one(&call.table.name, id).await?;
    let record = seen(call, stored)?;
    if is_hidden(call, &record) {
        return Err(call.dialect().gone());
    }
    let mut response = match conditions.judge(&record) {
        Verdict::Proceed => respond::item(call, StatusCode::OK, &record),
        Verdict::NotModified => respond::not_modified(&record),
        Verdict::Failed => respond::item(call, StatusCode::PRECONDITION_FAILED, &record),
    };
    respond::mark_ordered(&mut response);
    Ok(response)
}

/// The stored record, unless there is none for this client.
pub(crate) fn seen(call: &Call<'_>, stored: Option<Record>) -> Result<Record, Failure> {
    stored
        .filter(|record| call.may_see(record))
        .ok_or_else(Failure::no_record)
}

/// True for a tombstone that was not asked for.
pub(crate) fn is_hidden(call: &Call<'_>, record: &Record) -> bool {
    let asked_for = call.include_deleted && call.dialect().opens_tombstones();
    call.table.rules().soft_delete && record.is_deleted() && !asked_for
}

/// The query of the parameters, within the table's bounds.
fn read_query(call: &Call<'_>) -> Result<RemoteQuery, Failure> {
    let table = &call.table;
    let asked = call.parameters.query(&call.core.limits.query)?;
    let mut asked = names::resolve(asked, table.schema())
        .map_err(|error| call.parameters.unknown_name(&error))?
        .at(call.core.clock.now());
    let most = table.max_top(call.dialect());
    let mut query = std::mem::take(&mut asked.query);
    if query.top.is_some_and(|top| top > u64::from(most)) {
        return Err(Failure::bad_request(format!(
            "'$top' is above {most}, the most of this table"
        )));
    }
    let live =
        (table.rules().soft_delete && !call.include_deleted).then(|| field("deleted").eq(false));
    query = match (call.grant.rows(), live) {
        // Of records that the client may not know of nothing is looked at, and what is deleted is then one of them.
        (Some(rows), Some(live)) => query.within(rows.clone()).within(live),
        (Some(rows), None) => query.within(rows.clone()),
        // Everybody may ask for deleted records, so there is nothing to hide.
        (None, Some(live)) => query.filter(live),
        (None, None) => query,
    };
    query.budget.text = call.core.limits.body;
    query.budget.steps = call.core.limits.steps;
    query.page = Some(table.page_size(call.dialect(), query.top));
    query.after = call.parameters.get(SKIP_TOKEN).map(Cursor::from_text);
    asked.query = query;
    if call.dialect() == Dialect::Zumo2 {
        as_in_version_2(call, &mut asked);
    }
    Ok(asked)
}

/// In version 2 a `$top` is the size of the page, 0 is none, and only `$inlinecount` asks for the count.
fn as_in_version_2(call: &Call<'_>, asked: &mut RemoteQuery) {
    let query = &mut asked.query;
    query.top = query.top.filter(|top| *top > 0);
    let top = query.top.and_then(|top| u32::try_from(top).ok());
    query.page = top.or(query.page);
    asked.total &= call.parameters.get(INLINE_COUNT).is_some();
}

/// Records that are read before it is known how large they are.
const FIRST_LOOK: usize = 128;

/// The records of one page as JSON, as many as fit, and where the next page starts.
///
/// A page of more than a few records is read twice, first as far as shows how large they are: all that are asked for may take more memory than
/// the page may. What is given was read at one moment. Where the page goes by time one record more is read, so that it is known where it may end.
async fn page(
    call: &Call<'_>,
    asked: &RemoteQuery,
) -> Result<(Vec<String>, Option<Cursor>), Failure> {
    let window = Window::of(&asked.query).map_err(refused)?;
    let (most, by_time) = (window.length, goes_by_time(&asked.query));
    if most == 0 {
        return Ok((Vec::new(), None));
    }
    let wanted = most + usize::from(by_time);
    let mut query = asked.query.clone();
    query.top = None;
    query.after = window.start.as_ref().map(|key| Cursor::new(key, None));
    let mut portion = FIRST_LOOK.min(wanted);
    let room = call.core.limits.page;
    let (records, _room, rest) = loop {
        query.page = u32::try_from(portion).ok();
        let answer = call.core.scans.query(&call.table.name, &query).await;
        let found = answer.map_err(refused)?;
        // Printing takes as much again, for a moment.
        let sizes = found.records.iter().map(|record| record.body().len());
        let bytes: usize = sizes.sum();
        let taken = call.core.answers.take(bytes);
        let taken = taken.map_err(|answers::Full| Failure::crowded())?;
        let fitting = room / (bytes / found.records.len().max(1)).max(1) + 1;
        if found.next.is_none() || portion > FIRST_LOOK || fitting.min(wanted) <= portion {
            break (found.records, taken, found.next);
        }
        portion = fitting.min(wanted);
    };
    let mut room = room;
    let mut items = Vec::with_capacity(records.len().min(most));
    for record in records.iter().take(most) {
        let item = call.print(record, asked.select.as_deref());
        if item.len() > room && !items.is_empty() {
            break;
        }
        room = room.saturating_sub(item.len());
        items.push(item);
    }
    if by_time && records.len() > items.len() {
        items.truncate(before_another_time(&records, items.len()));
    } else if by_time && rest.is_some() {
        // What follows is not known, as records are larger than the first ones were: the last time may go on.
        items.truncate(before_another_time(&records, (items.len() - 1).max(1)));
    }
    let is_more = rest.is_some() || records.len() > items.len();
    let left = window
        .left
        .map(|left| left.saturating_sub(items.len() as u64));
    let last = items
        .len()
        .checked_sub(1)
        .and_then(|last| records.get(last));
    let next = last.filter(|_| is_more && left != Some(0)).map(|last| {
        let key = Evaluator::new(call.table.schema()).sort_key(&query.order, last);
        Cursor::new(&key, left)
    });
    Ok((items, next))
}

/// Whether the records come in the order of their times, as clients ask that pull changes.
fn goes_by_time(query: &Query) -> bool {
    query.order.first().is_some_and(|first| {
        first.path.segments() == ["updatedAt"] && first.direction == Direction::Ascending
    })
}

/// How many of the first `most` records end where the next one has another time; all of them where they have one time.
///
/// All changes of one commit have one time. Who goes on strictly behind the last time of a page has missed none.
fn before_another_time(records: &[Record], most: usize) -> usize {
    let time = |at: usize| records.get(at).map(Record::updated_at);
    let ends = |at: &usize| time(*at) != time(at - 1);
    (1..=most).rev().find(ends).unwrap_or(most)
}

fn refused(error: StoreError) -> Failure {
    if is_cursor_error(&error) {
        Failure::bad_request(format!("'{SKIP_TOKEN}' does not fit this query"))
    } else {
        error.into()
    }
}

fn is_cursor_error(error: &StoreError) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<CursorError>() {
            return true;
        }
        source = error.source();
    }
    false
}
