//! The queries of pulls: which are taken, and how they are kept as text.

use crate::error::Error;
use crate::name::TableName;
use crate::query::RemoteQuery;
use crate::query::odata::Limits;
use crate::schema::Steps;

/// Requests of one pull, or one audit, after which it is given up.
pub(crate) const MAX_REQUESTS: u64 = 1_000_000;

/// True when a query has an order or a window of its own.
pub(crate) fn is_windowed(query: &RemoteQuery) -> bool {
    let query = &query.query;
    !query.order.is_empty() || query.top.is_some() || query.skip > 0
}

/// Refuses what a pull cannot do.
pub(crate) fn check_query(query: &RemoteQuery, incremental: bool) -> Result<(), Error> {
    if query.select.is_some() {
        return Err(Error::PullQuery(
            "it selects members, but whole records are needed",
        ));
    }
    if query.query.after.is_some() {
        return Err(Error::PullQuery("it starts at a cursor"));
    }
    if query
        .parameters
        .iter()
        .any(|(name, _)| name.starts_with('$') || name.eq_ignore_ascii_case("__includedeleted"))
    {
        return Err(Error::PullQuery(
            "its further parameters must not be those of the query language",
        ));
    }
    if incremental && query.query.asks_for_now() {
        // Rows would enter and leave by time alone, without a change that the next pull could see.
        return Err(Error::PullQuery(
            "what now() finds changes without any record changing; write the time as a constant such as 2026-01-31T12:30:00Z, or pull without a query name",
        ));
    }
    if incremental && is_windowed(query) {
        return Err(Error::PullQuery(
            "order, top and skip only go with a full pull, without a query name",
        ));
    }
    Ok(())
}

/// Refuses a query about a field of which the server has values in another type: its answer would mean something else.
pub(crate) fn check_words(
    steps: &Steps,
    table: &TableName,
    query: &RemoteQuery,
) -> Result<(), Error> {
    let mut heads = query.query.heads();
    match heads.find(|name| steps.name_there(table, name).is_none()) {
        None => Ok(()),
        Some(field) => Err(Error::QueryWords {
            table: table.clone(),
            field: field.to_owned(),
        }),
    }
}

/// The filter and the parameters of a query as text: what a token keeps, and what makes a pull under its name another one.
pub(crate) fn text_of(query: &RemoteQuery) -> Result<String, Error> {
    let mut plain = RemoteQuery::default();
    plain.query.filter.clone_from(&query.query.filter);
    plain.parameters.clone_from(&query.parameters);
    // Those of one name keep their order, which may mean something.
    plain.parameters.sort_by(|one, other| one.0.cmp(&other.0));
    plain
        .to_odata()
        .map_err(|_| Error::PullQuery("its filter cannot be written as text"))
}

/// Whether a token's text says the same as one of [`text_of`], perhaps in the spelling of another release.
pub(crate) fn is_same(stored: &str, text: &str) -> bool {
    let read_back = || text_of(&read(stored)?).ok();
    stored == text || read_back().as_deref() == Some(text)
}

/// `None` for what this release does not read, such as a very deep filter: it keeps nothing, and what leaves comes back with its pull.
pub(crate) fn read(stored: &str) -> Option<RemoteQuery> {
    let limits = Limits {
        nodes: usize::MAX,
        length: usize::MAX,
        ..Limits::default()
    };
    RemoteQuery::from_odata_with(stored, &limits).ok()
}
